"""Tables and plots of results; nothing is computed here but what is shown."""

from dnafm.reports.metric_tables import fold_columns, format_folds, format_metrics, write_metrics_table

__all__ = ["fold_columns", "format_folds", "format_metrics", "write_metrics_table"]
