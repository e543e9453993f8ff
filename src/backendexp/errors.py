"""Defines every error that backendexp raises on purpose.

BackendexpError
├── UserError                 a mistake that the user can mend: one message, no traceback, exit code 2
│   ├── ConfigError           a value or a key of the configuration cannot be used
│   ├── BackendUnavailable    the runtime does not offer the backend, or its engine is missing
│   ├── RuntimeUnavailable    the runtime's interpreter cannot be found, built or used
│   └── ComparisonError       the runs cannot be compared, or are too few
├── WorkerError               the worker process broke the contract
└── TrackingError             the tracking store did not accept what it was given
"""


class BackendexpError(Exception):
    """The root of the errors below."""


class UserError(BackendexpError):
    """A mistake that the user can mend."""


class ConfigError(UserError):
    """A value of the configuration cannot be used."""


class BackendUnavailable(UserError):
    """A backend is not offered by a runtime, or its engine is not installed there."""


class RuntimeUnavailable(UserError):
    """A runtime's Python environment cannot be found, built or used."""


class ComparisonError(UserError):
    """The runs cannot be compared: they are unlike, too few, not finished, or all of one backend."""


class WorkerError(BackendexpError):
    """A worker process sent something that the contract does not know, or ended before it was ready."""


class TrackingError(BackendexpError):
    """The tracking store cannot be reached, or refused what it was given."""
