"""What a service says of itself is what it does: requests are made from its own document."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from splittally.host.service.openapi import document
from splittally.host.service.operations import OPERATIONS

EXAMPLES = 12
SOAK_EXAMPLES = int(os.environ.get("SERVE_SOAK_EXAMPLES", "200"))
