"""Every error that unweave raises on purpose. Each is also the built-in that a caller would expect to catch."""


class UnweaveError(Exception):
    """Base of all errors that unweave raises on purpose."""


class CaptureError(UnweaveError, RuntimeError):
    """The network could not be turned into a graph of tensor operations."""


class SiteError(UnweaveError, ValueError):
    """A site is unknown, or does not fit the network it is used with."""


class DataError(UnweaveError, ValueError):
    """The images or labels are not of a form that can be used."""


class DamagedImageError(DataError):
    """A file cannot be read as an image."""


class SettingError(UnweaveError, ValueError):
    """A setting has a value that it cannot have."""


class FewStepsWarning(UserWarning):
    """A search made so few steps that its result is still mostly what it began with."""


class PathsError(UnweaveError, ValueError):
    """A `Paths` object or file is malformed, or does not fit what it is combined with."""


class RowError(PathsError, LookupError):
    """A `Paths` object has no such row."""


class ExtractionError(UnweaveError, RuntimeError):
    """No smaller network can be made of these paths, or the one that was made is not equal."""


class MismatchError(UnweaveError, ValueError):
    """A file belongs to another network than the one given."""


class NumericError(UnweaveError, ArithmeticError):
    """NaN or infinity appeared where numbers are needed."""


class MissingExtraError(UnweaveError, ImportError):
    """An optional package is needed and not installed."""


class RunError(UnweaveError, OSError):
    """A run folder cannot be used: it is in use, damaged, cannot be written to, or belongs to another search."""


class EngineError(UnweaveError, RuntimeError):
    """A worker process died, or work cannot be sent to one."""


class PlantedError(UnweaveError, ArithmeticError):
    """A planted network is not one that methods can be judged by."""
