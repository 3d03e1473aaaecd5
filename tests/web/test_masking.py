"""A secret of this service in the text of a signal is masked before it is stored, published, answered or logged."""

import json
from typing import Any

import pytest

from signalhub.domain.identifiers import mask_secrets
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient, receive_json
from tests.kit.running_app import RunningApp

FIELDS = {"action": "buy", "symbol": "EURUSD", "price": "1.0860", "sl": "1.0850", "tp": "1.0890"}

# Each is sent with the secret in place of SECRET.
BODIES = {
    "a line of the text": f"{signal_texts.BUY}\nkey SECRET",
    "a field of JSON": json.dumps(FIELDS | {"api_key": "SECRET"}),
    "beside a JSON wrapper": json.dumps({"signal": signal_texts.BUY, "auth": {"key": "SECRET"}}),
    "inside a JSON wrapper": json.dumps({"signal": f"{signal_texts.BUY}\nSECRET"}),
    "an idempotency key": f"{signal_texts.BUY}\n#id SECRET",
    "a refused text": f"BUY SECRET\n{signal_texts.MISSING_STOP}",
    "a refused number": "BUY EURUSD @ 1.0860\nSL 1.0850SECRET\nTP 1.0890",
    "malformed JSON": '{"api_key": "SECRET',
    "glued to other letters": f"{signal_texts.BUY}\nxxSECRETxx",
}


async def _send(account: AccountClient, body: str | bytes, **headers: str) -> Any:  # noqa: ANN401 - JSON
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await account.request("POST", "/api/v1/signals", content=body, headers=named)).json()


async def _collect_outputs(app: RunningApp, account: AccountClient) -> str:
    """Return all that the service shows and stores of the account, and its log."""
    pages = [await account.get(path) for path in ("/api/v1/signals", "/api/v1/events", "/api/v1/orders")]
    rows = await app.execute_sql(
        "SELECT convert_from(raw, 'LATIN1'), answer, idempotency_key FROM signals WHERE account_id = CAST(:id AS uuid)",
        id=account.id,
    )
    return f"{pages} {rows} {app.web.log_text}"


@pytest.mark.parametrize("case", BODIES)
async def test_api_key_in_signal_is_masked_everywhere(app: RunningApp, account: AccountClient, case: str) -> None:
    secret_part = account.api_key.rpartition("_")[2]
    async with account.open_websocket("/ws/signals/invalid/") as socket:
        await receive_json(socket)
        answer = await _send(account, BODIES[case].replace("SECRET", account.api_key))
        frames = [] if "order_id" in answer else [await receive_json(socket)]
    outputs = f"{answer} {frames} {await _collect_outputs(app, account)}"
    assert secret_part not in outputs
    assert f"{account.api_key.rpartition('_')[0]}_{'*' * len(secret_part)}" in outputs
    (notice,) = answer["notices"]
    assert notice["code"] == "credential_masked"
    assert account.api_key.rpartition("_")[0] in notice["detail"]


async def test_every_kind_of_secret_is_masked(app: RunningApp, account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {"is_signed": True})
    ticket = (await account.post("/api/v1/tickets"))["ticket"]
    url = f"{app.settings.web.base_url}{hook['path']}"
    text = f"{signal_texts.BUY}\n{url}\n{hook['secret']}\n{ticket}\n{account.api_key[:-1]}"
    answer = await _send(account, text.encode() + b"\xff", Idempotency_Key=f"a-{account.api_key}")
    outputs = f"{answer} {await _collect_outputs(app, account)}"
    for secret in (hook["token"], hook["secret"], ticket, account.api_key):
        assert secret.rpartition("_")[2][:20] not in outputs


@pytest.mark.parametrize("escape", ["\\/ \\u002B =", "\\u002f \\u002b \\u003D", "%2F %2B %3D", "/ + ="])
def test_signing_secret_is_masked_as_other_encoders_write_it(escape: str) -> None:
    """PHP escapes the slashes in JSON, .NET the pluses; a form has neither as it is."""
    slash, plus, equals = escape.split()
    secret = f"whsec_AbCd{slash}EfGhIjKlMnOpQrStUvWx{plus}0123456789{slash}bcdefg{equals}"
    masked = mask_secrets(f'{{"secret": "{secret}", "tp": 1}}')
    assert masked.text == f'{{"secret": "whsec_{"*" * (len(secret) - 6)}", "tp": 1}}'
    assert masked.credentials == ("hook's signing secret",)


async def test_positions_of_problems_are_those_of_the_text_as_sent(account: AccountClient) -> None:
    text = f'{{"api_key": "{account.api_key}", "action": "buy", "symbol": "EURUSD", "sl": "1.0890", "tp": "1.0900x"}}'
    answer = await _send(account, text)
    error = answer["errors"][0]
    assert text[error["column"] - 1 :][: error["length"]].strip('"') == error["text"].strip('"') != ""


async def test_resend_with_secret_is_recognised(account: AccountClient) -> None:
    text = f"{signal_texts.BUY}\n{account.api_key}"
    first, again = [await _send(account, text, Idempotency_Key="k") for _ in range(2)]
    assert again == first | {"duplicate": True}
    hook = await account.post("/api/v1/hooks", {"duplicate_window_s": 20})
    sent = [(await account.http.post(hook["path"], content=text)).json() for _ in range(2)]
    assert [answer["duplicate"] for answer in sent] == [False, True]


async def test_masked_secret_does_not_change_the_signal(account: AccountClient) -> None:
    plain, with_secret = [
        await _send(account, text) for text in (signal_texts.BUY, f"{signal_texts.BUY}\n{account.api_key}")
    ]
    assert with_secret["signal"] == plain["signal"]
    assert "notices" not in plain


async def test_parse_masks_secret_and_says_so(account: AccountClient) -> None:
    text = f"{signal_texts.BUY}\nsend with {account.api_key}"
    explanation = (await account.request("POST", "/api/v1/signals/parse", content=text)).json()
    assert explanation["ok"] is True
    assert account.api_key.rpartition("_")[2] not in str(explanation)
    assert explanation["notices"][0]["code"] == "credential_masked"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/keys", {"label": "SECRET"}),
        ("/api/v1/hooks", {"label": "SECRET"}),
        ("/api/v1/broker-accounts", {"broker_name": "SECRET", "account_id": "1", "api_key": "x"}),
        ("/accounts/", {"username": "SECRET", "broker_name": "mock", "account_id": "1", "api_key": "x"}),
    ],
)
async def test_name_with_secret_is_refused(account: AccountClient, path: str, body: dict[str, str]) -> None:
    filled = {name: value.replace("SECRET", account.api_key) for name, value in body.items()}
    response = await account.request("POST", path, json=filled)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert account.api_key not in response.text
