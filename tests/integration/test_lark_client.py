"""The sandbox accepts what Feishu's own client sends. A file of its own, since importing that client takes seconds."""

from __future__ import annotations

import json

from mindguard.feishu.cases import preview
from tests.sandbox import APP_ID, APP_SECRET, CHAT_ID, Running


def test_the_official_client_sends_changes_answers_and_calls(sandbox: Running) -> None:
    import lark_oapi as lark
    from lark_oapi.api.im import v1

    client = lark.Client.builder().app_id(APP_ID).app_secret(APP_SECRET).domain(sandbox.base).build()
    card = preview("p1-full", "zh")[1]
    body = v1.CreateMessageRequestBody.builder().receive_id(CHAT_ID).msg_type("interactive").content(card).uuid("u")
    create = v1.CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.build()).build()
    created = client.im.v1.message.create(create)
    assert created.success(), created.msg
    message_id = created.data.message_id
    assert client.im.v1.message.create(create).data.message_id == message_id

    green = v1.PatchMessageRequestBody.builder().content(preview("resolved", "zh")[1]).build()
    changed = client.im.v1.message.patch(
        v1.PatchMessageRequest.builder().message_id(message_id).request_body(green).build()
    )
    assert changed.success(), changed.msg

    text = v1.ReplyMessageRequestBody.builder().msg_type("text").content(json.dumps({"text": "ok"}))
    replied = client.im.v1.message.reply(
        v1.ReplyMessageRequest.builder().message_id(message_id).request_body(text.reply_in_thread(True).build()).build()
    )
    assert replied.success(), replied.msg

    people = v1.UrgentReceivers.builder().user_id_list(["ou_a1", "stranger"]).build()
    urgent = client.im.v1.message.urgent_phone(
        v1.UrgentPhoneMessageRequest.builder()
        .message_id(message_id)
        .user_id_type("open_id")
        .request_body(people)
        .build()
    )
    assert urgent.success(), urgent.msg
    assert urgent.data.invalid_user_id_list == ["stranger"]

    first, second = sandbox.received()
    assert first["message"]["card"] == json.loads(preview("resolved", "zh")[1])
    assert (len(first["history"]), first["urgent"][0]["means"]) == (1, "phone")
    assert (second["thread"], second["message"]["content"]["text"]) == (message_id, "ok")


def test_the_official_client_is_told_of_a_bad_card_and_a_wrong_secret(sandbox: Running) -> None:
    import lark_oapi as lark
    from lark_oapi.api.im import v1

    body = v1.CreateMessageRequestBody.builder().receive_id(CHAT_ID).msg_type("interactive").content('{"schema":"1.0"}')
    create = v1.CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.build()).build()
    builder = lark.Client.builder().app_id(APP_ID).domain(sandbox.base)
    assert builder.app_secret(APP_SECRET).build().im.v1.message.create(create).code == 230099
