"""A stand-in for the Hub on loopback: the part of its protocol that pushing and pulling a model needs.

There are two servers, as there are two for the Hub: one for the API, which asks for tokens, and a storage for large
files, which is reached by links that the first one gives, and must not see tokens.
"""

import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from hub_api import ApiHandler
from hub_storage import Fault, Handler, StorageHandler
from hub_store import HubStore


class HubServer:
    """Both servers, what they were asked, and what is to go wrong.

    Attributes:
        store: what they keep.
        url: of the API, the value of HF_ENDPOINT.
        requests: method and path of each one to the API.
        ranges: that the storage was asked for.
        faults: that come yet.
    """

    def __init__(self, folder: Path):
        self.store = HubStore(folder)
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.faults: list[Fault] = []
        self._api = _serve(ApiHandler, self)
        self._storage = _serve(StorageHandler, self)
        self.url = f"http://127.0.0.1:{self._api.server_port}"
        # Another host name, for clients keep their tokens from other hosts alone.
        self.storage_url = f"http://localhost:{self._storage.server_port}"

    def close(self) -> None:
        """Stop both servers."""
        for server in (self._api, self._storage):
            server.shutdown()
            server.server_close()

    def next_fault(self, method: str) -> Fault | None:
        """Return what is to go wrong with a request, if anything."""
        fault = next((fault for fault in self.faults if fault.method == method), None)
        if fault is None:
            return None
        if fault.skip:
            fault.skip -= 1
            return None
        self.faults.remove(fault)
        return fault


def _serve(handler: type[Handler], hub: HubServer) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type(handler.__name__, (handler,), {"hub": hub}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server
