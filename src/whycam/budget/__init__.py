"""Chooses a recipe that a given time suffices for, from speeds measured on this very machine."""

from whycam.budget.choice import Choice as Choice
from whycam.budget.choice import candidates as candidates
from whycam.budget.choice import choose as choose
from whycam.budget.choice import within as within
from whycam.budget.costs import Job as Job
from whycam.budget.costs import cost as cost
from whycam.budget.durations import parse_duration as parse_duration
from whycam.budget.durations import spelled as spelled
