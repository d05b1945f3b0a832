"""How a domain asks the encoder for vectors: over the short line, else through Serve.

Leaves to others: the line (line.py), gathering texts for a call (together.py), what the encoder
does (encoder_service.py). Checked on Ray 2.60.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from crossrec.errors import CrossrecError, ServiceError
from crossrec.serving.arguments import ENCODER, ENCODER_APPLICATION
from crossrec.serving.gateway import TooBusyError
from crossrec.serving.line import Line, NobodyThereError
from crossrec.serving.together import Timed, Together

log = logging.getLogger(__name__)

ENCODER_TIMEOUT_S = 30.0
AGAIN_S = 0.2
"""Between two attempts to reach an encoder whose process has ended."""


class EncoderClient:
    """Asks for one domain; one object a replica, used on its event loop.

    Args:
        domain: whose adapters read the texts.
        line: to the encoder; domains of one process may share it.
    """

    def __init__(self, domain: str, line: Line) -> None:
        self._domain = domain
        self._handle: DeploymentHandle | None = None
        self._together = Together(self._called)
        self._line = line

    async def encode(self, texts: list[str], version: str) -> Timed:
        """Vectors of texts with the adapter of a release, and the seconds of their batch.

        While the encoder starts anew this waits for it: encoding twice does no harm.

        Raises:
            ServiceError: it does not answer in time, or has too much to do (429).
        """
        try:
            line = self._line.encode(texts, self._domain, version)
            return await asyncio.wait_for(line, ENCODER_TIMEOUT_S)
        except NobodyThereError:  # on another machine, or one of several, or starting anew
            return await self._together.encode(texts, version)
        except TimeoutError as err:
            raise _silent() from err

    async def _called(self, texts: list[str], version: str) -> Timed:
        """One call through Serve."""
        until = time.monotonic() + ENCODER_TIMEOUT_S
        while True:
            try:
                return await self._asked(texts, version, until - time.monotonic())
            except BackPressureError as err:
                raise TooBusyError from err
            except Exception as err:
                cause = getattr(err, "cause", err)  # Ray wraps what was raised, with a traceback
                if isinstance(cause, CrossrecError):
                    raise cause from err
                if isinstance(err, RayTaskError) or time.monotonic() + AGAIN_S > until:
                    raise _silent() from err
                log.warning("the encoder went away (%s); asking again", type(err).__name__)
                await asyncio.sleep(AGAIN_S)

    async def _asked(self, texts: list[str], version: str, timeout_s: float) -> Timed:
        if self._handle is None:
            self._handle = serve.get_deployment_handle(ENCODER, ENCODER_APPLICATION)
        answer = self._handle.encode.remote(texts, self._domain, version)
        timed: Timed = await asyncio.wait_for(answer, timeout_s)
        return timed


def _silent() -> ServiceError:
    return ServiceError(
        "the encoder does not answer, so words cannot be read now; ask without text", 503
    )
