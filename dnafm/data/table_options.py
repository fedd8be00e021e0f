"""What a task's data can be told: the keys `data.*` of Python, YAML files and the command line."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

TooLong = Literal["error", "center", "left", "right", "tile"]
ClassWeights = Literal["none", "balanced"]


@dataclass(kw_only=True, frozen=True)
class TableOptions:
    """Options that the data of every task have.

    Args:
        path: A Hub id; a file: csv, tsv, parquet, json, jsonl, arrow or FASTA; or a folder of such files, where
            train.csv, test.csv and the like name the splits.
        labels: Beside a FASTA file: a table of labels with a column of the records' names, or, for labels of bases,
            a BED, bedGraph or GFF3 file of intervals.
        config_name: Configuration of a Hub data set that has several.
        sequence_column: Column of the sequences.
        id_column: Column of the names of the rows, which must be unique in a split. By default id, if there is one;
            else rows are numbered from 1.
        rename_columns: New names of columns, as old: new. All other options mean the new names.
        train_split: Split to train on.
        validation_split: Split to validate on. By default validation, if there is one, else a part of the train split.
        test_split: Split to test on. By default test, if there is one, else a part of the train split.
        test_fraction: Share of the train split that becomes the test split where there is none, the same of every
            class: 0 for none, 1 for all, as for a file that holds the test data alone.
        validation_fraction: Share of what is left of it that becomes the validation split where there is none.
        split_column: Column whose values tell the splits, such as the chromosome. Without validation_groups and
            test_groups, the values are train, validation and test.
        validation_groups: Values of split_column that make up the validation split.
        test_groups: Values of split_column that make up the test split.
        split_seed: Of splits and folds; those that are published have 42.
        folds: Cut the train split into as many folds for cross-validation.
        fold: Which fold is the test split, 0 to folds - 1, or all to test on one after the other.
        too_long: What becomes of a sequence that is longer than the model reads: an error, its center, left or right
            part, or tile, several rows without overlap, named id:start-end (from 0).
        max_tokens_per_batch: Most tokens of a batch, special tokens included, instead of a number of sequences.
    """

    path: str
    labels: str | None = None
    config_name: str | None = None
    sequence_column: str = "sequence"
    id_column: str | None = None
    rename_columns: dict[str, str] = field(default_factory=dict)
    train_split: str = "train"
    validation_split: str | None = None
    test_split: str | None = None
    test_fraction: float = 0.2
    validation_fraction: float = 0.1
    split_column: str | None = None
    validation_groups: list[str | int] = field(default_factory=list)
    test_groups: list[str | int] = field(default_factory=list)
    split_seed: int = 42
    folds: int | None = None
    fold: int | Literal["all"] | None = None
    too_long: TooLong = "error"
    max_tokens_per_batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("test_fraction", "validation_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.{name} is {getattr(self, name)}; a share lies in [0, 1].")
        if self.max_tokens_per_batch is not None and self.max_tokens_per_batch < 3:
            raise ValueError(
                f"data.max_tokens_per_batch is {self.max_tokens_per_batch}; [CLS], one base and the suffix are 3."
            )
        self._check_groups()
        self._check_folds()

    def _check_groups(self) -> None:
        groups = {str(group) for group in self.validation_groups}
        if (groups or self.test_groups) and self.split_column is None:
            raise ValueError("data.validation_groups and data.test_groups are values of data.split_column: name it.")
        if shared := sorted(groups & {str(group) for group in self.test_groups}):
            raise ValueError(f"{shared} are both data.validation_groups and data.test_groups: choose one of the two.")

    def _check_folds(self) -> None:
        if self.folds is None:
            if self.fold is not None:
                raise ValueError(f"data.fold is {self.fold!r} and data.folds is not given: how many are there?")
            return
        if self.folds < 2:
            raise ValueError(f"data.folds is {self.folds}; cross-validation takes at least 2.")
        if self.split_column is not None:
            raise ValueError("data.folds and data.split_column are both given: choose one of the two.")
        if self.fold != "all" and self.fold not in range(self.folds):
            raise ValueError(f"data.fold is {self.fold!r}; it must be 0 to {self.folds - 1}, or all.")


@dataclass(kw_only=True, frozen=True)
class SequenceClassificationTable(TableOptions):
    """Data of `SequenceClassification`.

    Args:
        label_column: Column of the class: a name, or an integer from 0. Lists of names are several labels at once.
        label_columns: For several labels at once: columns of 0 and 1, one for each label; an empty cell is unknown.
        label_separator: For several labels at once in label_column: what stands between them, such as ";".
        classes: Keep the rows of these classes alone; integers become names.
        class_weights: balanced weighs the loss of a class of n_c of n rows by n / (n_classes * n_c).
    """

    label_column: str = "label"
    label_columns: list[str] = field(default_factory=list)
    label_separator: str | None = None
    classes: list[str | int] | None = None
    class_weights: ClassWeights = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_columns and self.label_separator is not None:
            raise ValueError("data.label_separator is of data.label_column, and data.label_columns are given.")
        if self.class_weights != "none" and (self.label_columns or self.label_separator is not None):
            raise ValueError(
                "data.class_weights is of classes that exclude each other, not of several labels at once."
            )


@dataclass(kw_only=True, frozen=True)
class SequenceRegressionTable(TableOptions):
    """Data of `SequenceRegression`.

    Args:
        label_column: Column of the target: a number, or a list of numbers.
        label_columns: Columns of several targets, instead of label_column.
        standardize: Subtract the mean of each target on the train split and divide by its standard deviation;
            predictions are in the units of the data again.
    """

    label_column: str = "label"
    label_columns: list[str] = field(default_factory=list)
    standardize: bool = True


@dataclass(kw_only=True, frozen=True)
class TokenClassificationTable(TableOptions):
    """Data of `TokenClassification`.

    Args:
        label_column: Column of the labels of the bases: a string of one character for each base, or a list of names
            or of integers from 0. Intervals have their class in the name (BED) or the type (GFF3).
        ignored_label: Name of bases that are not counted; those of -100 or null in a list are not, either.
        background: Class of the bases that no interval covers; null leaves them uncounted.
        interval_classes: Use the intervals of these classes alone; where they overlap, the first one counts. By
            default all are used, and must not overlap.
        class_weights: balanced weighs the loss of a class of n_c of n counted bases by n / (n_classes * n_c).
    """

    label_column: str = "labels"
    ignored_label: str | None = None
    background: str | None = "background"
    interval_classes: list[str] | None = None
    class_weights: ClassWeights = "none"


@dataclass(kw_only=True, frozen=True)
class TokenRegressionTable(TableOptions):
    """Data of `TokenRegression`.

    Args:
        label_column: Column of the targets of the bases: a list of numbers, or of lists of one number for each
            track; null or NaN is not counted. Intervals have theirs in the score (BED, GFF3) or the value (bedGraph).
        label_columns: Columns of several tracks, each a list of numbers, instead of label_column.
        background: Target of the bases that no interval covers; null leaves them uncounted.
        standardize: Subtract the mean of each track on the train split and divide by its standard deviation;
            predictions are in the units of the data again.
    """

    label_column: str = "labels"
    label_columns: list[str] = field(default_factory=list)
    background: float | None = None
    standardize: bool = True


@dataclass(kw_only=True, frozen=True)
class PairwiseTokenClassificationTable(TableOptions):
    """Data of `PairwiseTokenClassification`.

    Args:
        label_column: Column of the labels of all pairs of bases: a list for each base of names or of integers from 0.
        ignored_label: Name of pairs that are not counted; those of -100 or null are not, either.
        class_weights: balanced weighs the loss of a class of n_c of n counted pairs by n / (n_classes * n_c).
    """

    label_column: str = "labels"
    ignored_label: str | None = None
    class_weights: ClassWeights = "none"


@dataclass(kw_only=True, frozen=True)
class UnlabelledTable(TableOptions):
    """Data of the tasks without labels: `MaskedLM` and `Embed`."""


@dataclass(kw_only=True, frozen=True)
class DiffusionTable(UnlabelledTable):
    """Data of `Diffusion`.

    Args:
        label_column: Column of the conditions, with model.condition: a class, a number, or a list of numbers. By
            default label.
        label_columns: Columns of several numbers, instead of label_column.
        standardize: Subtract the mean of each number on the train split and divide by its standard deviation; both
            are in the checkpoint, and conditions are given in the units of the data.
    """

    label_column: str | None = None
    label_columns: list[str] = field(default_factory=list)
    standardize: bool = True

    def as_classes(self) -> SequenceClassificationTable:
        """Return the same data with labels that are classes.

        Raises:
            ValueError: several columns are named.
        """
        if self.label_columns:
            raise ValueError(
                "data.label_columns are several numbers, and model.condition is class: name one column by "
                "data.label_column, or choose model.condition value."
            )
        return SequenceClassificationTable(**self._shared(), label_column=self.label_column or "label")

    def as_numbers(self) -> SequenceRegressionTable:
        """Return the same data with labels that are numbers."""
        return SequenceRegressionTable(
            **self._shared(),
            label_column=self.label_column or "label",
            label_columns=self.label_columns,
            standardize=self.standardize,
        )

    def _shared(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(TableOptions)}
