from . import degradation_plots as degradation_plots
from . import evaluation_plots as evaluation_plots
from . import folder_reports as folder_reports
from . import network_plots as network_plots
from . import plots as plots
from . import run_report as run_report
from .run_log import read_lines as read_lines
from .run_report import TrainingRecord as TrainingRecord, write_report as write_report
