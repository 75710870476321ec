"""Work as bytes that another process can read."""

from __future__ import annotations

import sys
from typing import Any

from unweave.errors import EngineError

_USER_MODULES = "_user_"


def pickled(work: Any) -> bytes:
    """`work` for a process that has the same packages; what comes from a user's file is in it.

    Raises
    ------
    EngineError
        If it cannot be sent.
    """
    import cloudpickle

    # Modules made from a user's file cannot be imported by name elsewhere: their contents travel.
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(_USER_MODULES)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(work))
    except (TypeError, AttributeError, ValueError, RuntimeError, RecursionError, OSError) as error:
        raise EngineError(
            f"the network or data set cannot be sent to processes ({error}); use engine inline"
        ) from error
    except Exception as error:
        if "pickle" in type(error).__name__.lower():
            raise EngineError(
                f"the network or data set cannot be sent to processes ({error}); use engine inline"
            ) from error
        raise
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
