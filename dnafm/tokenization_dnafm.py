# Copyright 2026 The dnafm developers.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Tokenization of DNA: one character, one token.

The same mapping exists twice. As a Rust backend it is what `tokenizer.json` stores and what any fast tokenizer loads.
As a table of 256 bytes it is what encodes and decodes plain sequences here, several hundred times as fast. Until the
last step, which widens it to int64 or a list, a row of tokens is a `bytes` object with one byte per token.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Encoding, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import BatchEncoding, TokenizersBackend
from transformers.tokenization_utils_base import FULL_TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, TruncationStrategy
from transformers.utils import CONFIG_NAME, PaddingStrategy, TensorType, cached_file, is_torch_tensor, logging

from .configuration_dnafm import RELEASED_MODEL_TYPE
from .released_dnafm import HUB_ARGUMENTS, may_be_checkpoint

# Below the root logger of transformers, so that its verbosity holds here too, as remote code as well.
logger = logging.get_logger(f"transformers.{__name__}")

VOCAB_FILES_NAMES = {"tokenizer_file": "tokenizer.json"}

UNUSED_TOKENS = ("[UNUSED1]", "[UNUSED2]", "[UNUSED3]")
# In the order of the ids, which are baked into the weights.
VOCABULARY = ("[PAD]", "[MASK]", "[CLS]", "[SEP]", "[UNK]", *"AGCTUN", "[BOS]", "[EOS]", *UNUSED_TOKENS)
SPECIAL_TOKENS = tuple(token for token in VOCABULARY if len(token) > 1)
SUFFIX_TOKENS = ("[EOS]", "[SEP]", None)

# What a letter of either case becomes: RNA is read as DNA, and an ambiguity code says that the base is not known.
LETTERS = {"A": "A", "C": "C", "G": "G", "T": "T", "N": "N", "U": "T"} | dict.fromkeys("RYSWKMBDHV", "N")

_SIDES = ("left", "right")
_ZERO, _ONE = b"\0", b"\1"
_BYTE = {token: bytes([token_id]) for token_id, token in enumerate(VOCABULARY)}
_WRITTEN_TOKEN = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")
_ACCEPTED = re.compile("[" + "".join(letter + letter.lower() for letter in LETTERS) + "]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _table_of_ids() -> bytes:
    table = bytearray(_BYTE["[UNK]"] * 256)
    for letter, base in LETTERS.items():
        table[ord(letter)] = table[ord(letter.lower())] = VOCABULARY.index(base)
    return bytes(table)


_TO_IDS = _table_of_ids()
# Ids of bases become letters; those of special tokens stay what they are, for a byte cannot spell them.
_TO_LETTERS = bytes(ord(token) if len(token) == 1 else token_id for token_id, token in enumerate(VOCABULARY))
_TO_LETTERS += bytes(range(len(VOCABULARY), 256))
_NO_TOKEN = bytes(range(len(VOCABULARY), 256))
_NO_LETTER = b"".join(_BYTE[token] for token in SPECIAL_TOKENS) + _NO_TOKEN


def _template(suffix_token: str | None) -> TemplateProcessing:
    """Build the post-processor: `[CLS]`, the bases, the suffix; a second sequence has a suffix of its own."""
    ends = [f"{suffix_token}:0", f"{suffix_token}:1"] if suffix_token else ["", ""]
    named = [token for token in ("[CLS]", suffix_token) if token]
    return TemplateProcessing(
        single=f"[CLS]:0 $A:0 {ends[0]}".split(),
        pair=f"[CLS]:0 $A:0 {ends[0]} $B:1 {ends[1]}".split(),
        special_tokens=[(token, VOCABULARY.index(token)) for token in named],
    )


def _normalizer() -> normalizers.Normalizer:
    replacements = []
    for base in dict.fromkeys(LETTERS.values()):
        spellings = "".join(letter + letter.lower() for letter, meaning in LETTERS.items() if meaning == base)
        replacements.append(normalizers.Replace(Regex(f"[{spellings.replace(base, '')}]"), base))
    return normalizers.Sequence(replacements)


def _build_backend(suffix_token: str | None) -> Tokenizer:
    backend = Tokenizer(WordLevel({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    backend.normalizer = _normalizer()
    # A dot would not match the line breaks.
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.post_processor = _template(suffix_token)
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return backend


def _definition(backend: Tokenizer) -> str:
    """Return the JSON of all that decides the ids: what follows truncation and padding, which every call sets."""
    return backend.to_str().partition('"added_tokens"')[2]


@lru_cache(maxsize=len(SUFFIX_TOKENS))
def _own_definition(suffix_token: str | None) -> str:
    return _definition(_build_backend(suffix_token))


def _released_settings(location: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a released checkpoint implies, and nothing for one with tokenizer files."""
    if not may_be_checkpoint(location):
        return {}
    asked = {name: options[name] for name in (*HUB_ARGUMENTS, "subfolder") if options.get(name) is not None}

    def find(name: str) -> str | None:
        return cached_file(location, name, _raise_exceptions_for_missing_entries=False, **asked)

    if find(TOKENIZER_CONFIG_FILE) or find(FULL_TOKENIZER_FILE):
        return {}
    path = find(CONFIG_NAME)
    config = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    if config.get("model_type") != RELEASED_MODEL_TYPE:
        return {}
    return {"suffix_token": "[SEP]", "model_max_length": config["max_position_embeddings"]}


def _encode_ids(text: str, split_special_tokens: bool) -> bytes:
    """Return one byte per character, or per special token written out."""
    if "[" in text and not split_special_tokens:
        pieces = enumerate(_WRITTEN_TOKEN.split(text))  # the odd ones are the tokens
        return b"".join(_BYTE[piece] if i % 2 else _encode_ids(piece, True) for i, piece in pieces)
    # "replace" makes one "?", and so one [UNK], of anything beyond ASCII, of a lone surrogate too.
    return text.encode("ascii", "replace").translate(_TO_IDS)


def _plain_texts(text: Any) -> list[str] | None:
    """Return a text or a batch of texts as a list; None for anything else and for no text."""
    texts = [text] if isinstance(text, str) else text
    if isinstance(texts, (list, tuple)) and texts and all(isinstance(item, str) for item in texts):
        return list(texts)
    return None


def _flat_texts(text: Any) -> list[str]:
    if isinstance(text, (list, tuple)):
        return [piece for part in text for piece in _flat_texts(part)]
    return [text] if isinstance(text, str) else []


def _without_surrogates(text: Any) -> Any:
    """Replace lone surrogates, for which Rust has no characters, by U+FFFD in a text or in nested texts."""
    if isinstance(text, str):
        return _SURROGATE.sub("\ufffd", text)
    if isinstance(text, (list, tuple)):
        parts = [_without_surrogates(part) for part in text]
        return parts if isinstance(text, list) else tuple(parts)
    return text


def _stack(rows: list[bytes], return_tensors: str | None) -> Any:
    """Widen rows to an int64 array or tensor with memory of its own, or to lists, which BatchEncoding converts."""
    if return_tensors not in (TensorType.NUMPY, TensorType.PYTORCH) or len({len(row) for row in rows}) > 1:
        return [list(row) for row in rows]
    array = np.frombuffer(b"".join(rows), np.uint8).astype(np.int64).reshape(len(rows), len(rows[0]))
    if return_tensors == TensorType.NUMPY:
        return array
    import torch

    return torch.from_numpy(array)


def _rows_of_array(token_ids: Any) -> list[bytes] | None:
    """Return the rows of an integer array or tensor of one or two dimensions if its ids fit bytes, else None."""
    array = token_ids.detach().cpu().numpy() if is_torch_tensor(token_ids) else token_ids
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        return None
    if array.size == 0 or array.min() < 0 or array.max() > 255:
        return None
    return [row.tobytes() for row in np.atleast_2d(array.astype(np.uint8))]


def _as_row(token_ids: Any) -> bytes | None:
    """Return ids as bytes, or None if they are not a sequence of whole numbers below 256."""
    if not isinstance(token_ids, (bytes, list, tuple)):
        return None
    try:
        return bytes(token_ids)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What one call asks for, with the tokenizer's own settings filled in."""

    suffix_token: str | None
    truncation_side: str
    pad_token_id: int | None
    padding_side: str
    split_special_tokens: bool
    return_attention_mask: bool
    return_token_type_ids: bool
    add_special_tokens: bool = True
    padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD
    truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE
    max_length: int | None = None
    stride: int = 0
    pad_to_multiple_of: int | None = None
    return_tensors: str | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_length: bool = False
    verbose: bool = True

    @property
    def pads(self) -> bool:
        return self.padding_strategy != PaddingStrategy.DO_NOT_PAD

    @property
    def pad_length(self) -> int | None:
        """The length to pad to; None for that of the longest row."""
        return self.max_length if self.padding_strategy == PaddingStrategy.MAX_LENGTH else None

    @property
    def truncates(self) -> bool:
        return self.truncation_strategy != TruncationStrategy.DO_NOT_TRUNCATE

    @property
    def suffix(self) -> bytes:
        return _BYTE[self.suffix_token] if self.suffix_token else b""

    def is_regular(self) -> bool:
        """Whether the settings make sense for single sequences. Rust has the errors for those that do not."""
        return (not self.pads or self._can_pad()) and (not self.truncates or self._can_truncate())

    def _can_pad(self) -> bool:
        lengths = (self.pad_length or 0, self.pad_to_multiple_of or 0)
        has_lengths = all(isinstance(length, int) and length >= 0 for length in lengths)
        return self.padding_side in _SIDES and self.pad_token_id in range(len(VOCABULARY)) and has_lengths

    def _can_truncate(self) -> bool:
        if self.truncation_side not in _SIDES or self.truncation_strategy == TruncationStrategy.ONLY_SECOND:
            return False
        return isinstance(self.max_length, int) and 0 <= self.stride < self.max_length - 1 - len(self.suffix)

    def cut(self, ids: bytes) -> list[bytes]:
        """Cut a sequence into pieces that fit a row, the kept one first; neighbours share `stride` ids."""
        if not self.truncates or self.max_length is None:
            return [ids]
        size = self.max_length - (1 + len(self.suffix) if self.add_special_tokens else 0)
        if len(ids) <= size:
            return [ids]
        if self.truncation_side == "right":
            starts = range(0, len(ids) - self.stride, size - self.stride)
        else:
            starts = range(len(ids) - size, self.stride - size, self.stride - size)
        kept = starts if self.return_overflowing_tokens else starts[:1]
        return [ids[max(0, start) : start + size] for start in kept]

    def columns(self, pieces: list[bytes]) -> dict[str, list[bytes]]:
        """Frame and pad the pieces; the keys and their order are those of the Rust path."""
        zeros = [_ZERO * len(piece) for piece in pieces]
        end = _ONE * len(self.suffix)
        columns = {"input_ids": self._rows(pieces, _BYTE["[CLS]"], self.suffix, fill=self.pad_token_id or 0)}
        if self.return_token_type_ids:
            columns["token_type_ids"] = self._rows(zeros, _ZERO, _ZERO * len(end), fill=0)
        if self.return_attention_mask:
            columns["attention_mask"] = self._rows([_ONE * len(piece) for piece in pieces], _ONE, end, fill=0)
        if self.return_special_tokens_mask:
            columns["special_tokens_mask"] = self._rows(zeros, _ONE, end, fill=1)
        return columns

    def _rows(self, pieces: list[bytes], start: bytes, end: bytes, *, fill: int) -> list[bytes]:
        rows = [start + piece + end for piece in pieces] if self.add_special_tokens else pieces
        if not self.pads:
            return rows
        width = max(map(len, rows)) if self.pad_length is None else self.pad_length
        width += -width % (self.pad_to_multiple_of or 1)
        justify = bytes.ljust if self.padding_side == "right" else bytes.rjust
        return [justify(row, width, bytes([fill])) for row in rows]


# The options of a call that the byte table serves, and those that it serves only where they are off.
_OPTIONS = {field.name for field in fields(_Request)} - {"suffix_token", "truncation_side", "pad_token_id"}
_RUST_OPTIONS = {"is_split_into_words", "return_offsets_mapping", "sanitize_control_tokens"}
# What else the encodings depend on.
_SETTINGS = ("pad_token", "padding_side", "truncation_side", "split_special_tokens")


class _LazyEncodings(Sequence):
    """The Rust encodings of rows that came from the byte table, made when somebody looks at one.

    They are pickled as a plain list if they have been made and dropped if not, so that a batch can be unpickled
    where this module is missing.
    """

    def __init__(self, make: Callable[[], list[Encoding]], *, n_rows: int):
        self._make, self._n_rows = make, n_rows

    @cached_property
    def _made(self) -> list[Encoding]:
        return self._make()

    def __len__(self) -> int:
        return self._n_rows

    def __getitem__(self, index: Any) -> Any:
        return self._made[index]

    def __deepcopy__(self, memo: dict) -> "_LazyEncodings":
        return self

    def __reduce__(self) -> tuple:
        return (list, (self._made,)) if "_made" in self.__dict__ else (type(None), ())


class _Given(dict):
    """The warnings that a tokenizer has given; none in its copies and pickles.

    Otherwise a warning would change the fingerprint by which `datasets` finds its cached results.
    """

    def __reduce__(self) -> tuple:
        return (type(self), ())


@contextmanager
def _settings_kept(backend: Tokenizer) -> Iterator[None]:
    """Undo what a call sets in the backend, for its settings are saved, pickled and fingerprinted with it."""
    truncation, padding, split = backend.truncation, backend.padding, backend.encode_special_tokens
    try:
        yield
    finally:
        backend.no_truncation()
        if truncation:
            backend.enable_truncation(**truncation)
        backend.no_padding()
        if padding:
            backend.enable_padding(**padding)
        backend.encode_special_tokens = split


def _suffix_of_file(path: str) -> str | None:
    """Return the suffix in the post-processor of a `tokenizer.json`, or the default where it is not one of ours."""
    saved = repr(Tokenizer.from_file(path).post_processor)
    return next((suffix for suffix in SUFFIX_TOKENS if repr(_template(suffix)) == saved), SUFFIX_TOKENS[0])


def _checked_suffix(suffix_token: Any) -> str | None:
    suffix_token = str(suffix_token) if isinstance(suffix_token, AddedToken) else suffix_token
    if suffix_token not in SUFFIX_TOKENS:
        raise ValueError(
            f"suffix_token={suffix_token!r}: a sequence ends in '[EOS]', in '[SEP]' or, with None, in its last base. "
            "Use what the checkpoint was trained with: '[SEP]' for those of the reference code, else '[EOS]'."
        )
    return suffix_token


def _check_vocabulary(backend: Tokenizer) -> None:
    found = tuple(backend.id_to_token(token_id) for token_id in range(len(VOCABULARY)))
    if found != VOCABULARY:
        raise ValueError(
            f"The first tokens are {found}, but those of DNA FM are {VOCABULARY}: the ids are baked into its weights "
            "and cannot be trained anew. Load or train another tokenizer with a class of its own, for example "
            "transformers.PreTrainedTokenizerFast."
        )


def _unknown_characters_warning(unknown: Counter[str]) -> str:
    # In ASCII, for look-alikes such as a Cyrillic A and for what does not print.
    examples = ", ".join(f"{character!a} ({count})" for character, count in unknown.most_common(5))
    more = f" and {len(unknown) - 5} others" if len(unknown) > 5 else ""
    return (
        f"Characters that are not DNA became [UNK], {unknown.total()} in this call: {examples}{more}. Accepted are "
        "A, C, G, T, U, N and the IUPAC codes R, Y, S, W, K, M, B, D, H, V in either case, and special tokens such as "
        "[MASK] in upper case. Clean the sequences if you did not expect this; there will be no second warning."
    )


class DNAFMTokenizer(TokenizersBackend):
    """Turns DNA into ids, one per character, and back.

    A sequence of n characters gives n + 2 ids, `[CLS]` before and the suffix after them, so token i is base i - 1.
    Lower case means the same as upper case, `U` becomes `T`, an IUPAC ambiguity code becomes `N`, and every other
    character, white space included, becomes one `[UNK]`; the first call that meets such characters warns of them.
    A special token written out in upper case (`AC[MASK]T`) is one token.

    Plain sequences are encoded and decoded through a table of bytes. Pairs, words, offsets and tokenizers that were
    given more tokens or another backend take the Rust path, with the same results at about a megabase per second.
    `add_bos_token` and `add_eos_token` stay off: how a sequence ends is said by `suffix_token`.

    Args:
        suffix_token: what follows each sequence: `"[EOS]"`, `"[SEP]"` (checkpoints of the reference code) or None
            for nothing. Saved with the tokenizer.
        pad_token: fills rows up to a common length.
        mask_token: stands for a base to be predicted.
        cls_token: name of the first token of each input; the input begins with `[CLS]` whatever it is.
        sep_token: the suffix of the reference code.
        unk_token: name of the token for characters that are not DNA.
        bos_token: in the vocabulary, but in no input.
        eos_token: the suffix of DNA FM.
        model_max_length: the longest input of the model in tokens, `[CLS]` and the suffix included.
        clean_up_tokenization_spaces: of no effect, for there are no spaces.
        extra_special_tokens: more special tokens than the vocabulary has; named ones as a dictionary.
        kwargs: `padding_side`, `truncation_side`, `tokenizer_file` and the like, as for every fast tokenizer.

    Raises:
        ValueError: `suffix_token` is none of the three, or a file that was given has another vocabulary.

    Example:

        >>> tokenizer = DNAFMTokenizer()
        >>> tokenizer("ACGTn")["input_ids"]
        [2, 5, 7, 6, 8, 10, 12]
    """

    vocab_files_names = VOCAB_FILES_NAMES

    def __init__(
        self,
        *,
        suffix_token: str | None = "[EOS]",
        pad_token: str | AddedToken | None = "[PAD]",
        mask_token: str | AddedToken | None = "[MASK]",
        cls_token: str | AddedToken | None = "[CLS]",
        sep_token: str | AddedToken | None = "[SEP]",
        unk_token: str | AddedToken | None = "[UNK]",
        bos_token: str | AddedToken | None = "[BOS]",
        eos_token: str | AddedToken | None = "[EOS]",
        model_max_length: int = 4000,
        clean_up_tokenization_spaces: bool = False,
        extra_special_tokens: list | tuple | dict | None = None,
        **kwargs: Any,
    ):
        self._suffix_token = _checked_suffix(suffix_token)
        self._tokenizer = _build_backend(self._suffix_token)
        if isinstance(extra_special_tokens, dict):
            kwargs["model_specific_special_tokens"] = extra_special_tokens
            extra_special_tokens = None
        super().__init__(
            pad_token=pad_token,
            mask_token=mask_token,
            cls_token=cls_token,
            sep_token=sep_token,
            unk_token=unk_token,
            bos_token=bos_token,
            eos_token=eos_token,
            model_max_length=model_max_length,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            extra_special_tokens=list({str(t): t for t in (*UNUSED_TOKENS, *(extra_special_tokens or ()))}.values()),
            **kwargs,
        )
        self.deprecation_warnings = _Given()
        self._notices = _Given()
        # If it were passed on, the base class would file it as one more special token.
        self.init_kwargs["suffix_token"] = self._suffix_token
        _check_vocabulary(self.backend_tokenizer)
        self.update_post_processor()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *init_inputs: Any, **kwargs: Any) -> Any:
        """Load as transformers does; a released checkpoint, which has no tokenizer files, has the suffix `[SEP]`.

        Args:
            pretrained_model_name_or_path: folder or Hub id, or the path of a `tokenizer.json`.
            init_inputs: passed on.
            kwargs: passed on.
        """
        kwargs = {**_released_settings(pretrained_model_name_or_path, kwargs), **kwargs}
        return super().from_pretrained(pretrained_model_name_or_path, *init_inputs, **kwargs)

    @classmethod
    def convert_to_native_format(cls, trust_remote_code: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Leave `tokenizer_file` to the constructor, which loads it whole, and find the suffix that was saved."""
        named = dict(kwargs.pop("model_specific_special_tokens", None) or {})
        if "suffix_token" in named:
            kwargs["suffix_token"] = named.pop("suffix_token")
        elif "suffix_token" not in kwargs and kwargs.get("tokenizer_file"):
            kwargs["suffix_token"] = _suffix_of_file(kwargs["tokenizer_file"])
        return kwargs | ({"model_specific_special_tokens": named} if named else {})

    @property
    def suffix_token(self) -> str | None:
        """The token after each sequence: `"[EOS]"`, `"[SEP]"` or None. It can be assigned to."""
        return self._suffix_token

    @suffix_token.setter
    def suffix_token(self, suffix_token: str | None) -> None:
        self._suffix_token = _checked_suffix(suffix_token)
        self.update_post_processor()

    @property
    def suffix_token_id(self) -> int | None:
        """The id of `suffix_token`, None where there is none."""
        return VOCABULARY.index(self._suffix_token) if self._suffix_token else None

    def update_post_processor(self) -> None:
        """Install the template that `suffix_token` stands for, whatever `add_bos_token` and `add_eos_token` say."""
        if self.add_bos_token or self.add_eos_token:
            logger.warning_once(
                "add_bos_token and add_eos_token have no effect on DNAFMTokenizer: a sequence begins with [CLS] and "
                "ends as suffix_token says. Set suffix_token to '[EOS]', '[SEP]' or None."
            )
        # The public attributes would call this method again.
        self._add_bos_token = self._add_eos_token = False
        self.backend_tokenizer.post_processor = _template(self._suffix_token)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return `[CLS]`, the ids and the suffix, then the ids and suffix of a second sequence."""
        suffix = list(_BYTE[self._suffix_token]) if self._suffix_token else []
        second = [] if token_ids_1 is None else [*token_ids_1, *suffix]
        return [*_BYTE["[CLS]"], *token_ids_0, *suffix, *second]

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 for each special token and 0 for each other.

        Args:
            token_ids_0: ids of a sequence.
            token_ids_1: ids of the second sequence of a pair.
            already_has_special_tokens: whether `token_ids_0` are those of a finished input, in which every special
                token counts, or still those of the text, to which the template is going to be added.
        """
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, already_has_special_tokens=True)
        suffix = [1] if self._suffix_token else []
        second = [] if token_ids_1 is None else [0] * len(token_ids_1) + suffix
        return [1] + [0] * len(token_ids_0) + suffix + second

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any:
        """Return the upper-case sequence that ids stand for, or a list of sequences for a batch.

        Args:
            token_ids: ids as a number, list, array or tensor, or a batch of such rows.
            skip_special_tokens: leave special tokens out instead of writing them like `[CLS]`.
            kwargs: taken for compatibility.
        """
        rows = _rows_of_array(token_ids)
        if rows is None:
            return super().decode(token_ids, skip_special_tokens=skip_special_tokens, **kwargs)
        texts = [self._decode(row, skip_special_tokens=skip_special_tokens, **kwargs) for row in rows]
        return texts if token_ids.ndim == 2 else texts[0]

    def _decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> str:
        row = _as_row(token_ids)
        if row is None or not self._has_own_backend():
            token_ids = list(token_ids) if isinstance(token_ids, bytes) else token_ids
            return super()._decode(token_ids, skip_special_tokens, clean_up_tokenization_spaces, **kwargs)
        text = row.translate(_TO_LETTERS, _NO_LETTER if skip_special_tokens else _NO_TOKEN)
        if not skip_special_tokens:
            for token in SPECIAL_TOKENS:
                text = text.replace(_BYTE[token], token.encode("ascii"))
        return text.decode("ascii")

    def _has_own_backend(self) -> bool:
        """Whether the backend does what the byte table does: users may add tokens and exchange its parts."""
        return _definition(self.backend_tokenizer) == _own_definition(self._suffix_token)

    def _encode_plus(  # type: ignore[override]  # transformers gives the options by name
        self, text: Any, text_pair: Any = None, **options: Any
    ) -> BatchEncoding:
        texts = _plain_texts(text) if text_pair is None else None
        request = self._request(options)
        if texts is None or request is None or not self._has_own_backend():
            return self._encode_in_rust(text, text_pair, options)
        make_encodings = self._encodings_maker(texts, options)
        return self._encode_in_bytes(texts, request, make_encodings, is_single=isinstance(text, str))

    def _request(self, options: dict[str, Any]) -> _Request | None:
        """Fill in the tokenizer's settings; None where the call needs something that only Rust does."""
        own: dict[str, Any] = {
            "padding_side": self.padding_side,
            "split_special_tokens": self.split_special_tokens,
            "return_attention_mask": "attention_mask" in self.model_input_names,
            "return_token_type_ids": "token_type_ids" in self.model_input_names,
        }
        asked = {key: value for key, value in options.items() if value or key not in _RUST_OPTIONS}
        asked = {key: value for key, value in asked.items() if value is not None or key not in own}
        if not asked.keys() <= _OPTIONS or self.pad_token_type_id != 0:
            return None
        request = _Request(
            suffix_token=self._suffix_token,
            truncation_side=self.truncation_side,
            pad_token_id=self.pad_token_id,
            **(own | asked),
        )
        return request if request.is_regular() else None

    def _encode_in_bytes(
        self, texts: list[str], request: _Request, make_encodings: Callable[[], list[Encoding]], *, is_single: bool
    ) -> BatchEncoding:
        ids = [_encode_ids(text, request.split_special_tokens) for text in texts]
        if request.verbose and any(_BYTE["[UNK]"] in row for row in ids):
            self._report_unknown(texts, split_special_tokens=request.split_special_tokens)
        cuts = [request.cut(row) for row in ids]
        columns = request.columns([piece for cut in cuts for piece in cut])
        rows = columns["input_ids"]
        too_long = next((row for row in rows if len(row) > self.model_max_length), b"")
        self._eventual_warn_about_too_long_sequence(list(too_long), request.max_length, request.verbose)
        data = {name: _stack(column, request.return_tensors) for name, column in columns.items()}
        if is_single and request.return_tensors is None and not request.return_overflowing_tokens:
            data = {name: column[0] for name, column in data.items()}
        if request.return_length:
            data["length"] = [len(row) for row in rows]
        if request.return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [sample for sample, cut in enumerate(cuts) for _ in cut]
        encodings = _LazyEncodings(make_encodings, n_rows=len(rows))
        return BatchEncoding(data, encodings, tensor_type=request.return_tensors, n_sequences=1)

    def _encodings_maker(self, texts: list[str], options: dict[str, Any]) -> Callable[[], list[Encoding]]:
        """Remember how texts are encoded now, for the case that somebody asks for their Rust encodings later."""
        suffix_token = self._suffix_token
        settings = {name: getattr(self, name) for name in _SETTINGS}

        def make_encodings() -> list[Encoding]:
            twin = DNAFMTokenizer(suffix_token=suffix_token)
            for name, value in settings.items():
                setattr(twin, name, value)
            batch = twin._encode_in_rust(texts, None, options | {"return_tensors": None, "verbose": False})
            return list(batch.encodings or ())

        return make_encodings

    def _encode_in_rust(self, text: Any, text_pair: Any, options: dict[str, Any]) -> BatchEncoding:
        if options.get("verbose", True):
            asked = options.get("split_special_tokens")
            split = self.split_special_tokens if asked is None else asked
            self._report_unknown(_flat_texts([text, text_pair]), split_special_tokens=split)
        with _settings_kept(self.backend_tokenizer):
            return super()._encode_plus(_without_surrogates(text), _without_surrogates(text_pair), **options)

    def _report_unknown(self, texts: list[str], *, split_special_tokens: bool) -> None:
        """Warn of the characters that become `[UNK]`, the first time that there are any."""
        if "unknown-characters" in self._notices:
            return
        unknown: Counter[str] = Counter()
        written = "|".join(map(re.escape, self.get_added_vocab()))
        for text in texts:
            unknown.update(_ACCEPTED.sub("", text if split_special_tokens else re.sub(written, "", text)))
        if unknown:
            self._notices["unknown-characters"] = True
            logger.warning(_unknown_characters_warning(unknown))


__all__ = ["DNAFMTokenizer"]
