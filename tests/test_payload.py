"""What applications send is in no file of a trace's folder, and the report is as it would be with it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import analyse
from kubectl_vxtrace.bundle import folder
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Request, Target
from kubectl_vxtrace.payload import without_payload
from kubectl_vxtrace.report import document
