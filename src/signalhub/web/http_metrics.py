"""HTTP metrics. Litestar's middleware is on the routes of the framework; `request_context` counts the hot ones."""

from typing import Final

from litestar.plugins.prometheus import PrometheusConfig
from prometheus_client import Counter

from signalhub.shared_metrics import BufferedCounter

HTTP_METRICS: Final = PrometheusConfig(app_name="signalhub", prefix="signalhub_http", group_path=True)
ERROR_RESPONSES: Final = Counter("signalhub_error_responses", "Problem documents sent, by error code.", ["code"])

# Litestar's middleware takes 40 us of a request, this takes less than 1 us.
SIGNAL_REQUESTS: Final = BufferedCounter(
    Counter("signalhub_signal_requests", "Requests that bring a signal, by route and status.", ["path", "status"])
)
