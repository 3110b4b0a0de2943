"""Audit, train, evaluate, explain and score from end to end: what the command line calls, and the Python API itself."""

from whycam.workflow.auditing import audit as audit
from whycam.workflow.evaluation import evaluate as evaluate
from whycam.workflow.evaluation import measure as measure
from whycam.workflow.images import explain as explain
from whycam.workflow.images import score as score
from whycam.workflow.runs import Run as Run
from whycam.workflow.runs import load as load
from whycam.workflow.training import train as train
