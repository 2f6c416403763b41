"""Describes the table as OpenAPI 3.1, from the same types that the services use."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from services.portal.api.operations import Operation, operations

Schema = dict[str, Any]

REFUSALS = {
    "401": "没有令牌，或令牌已过期",
    "403": "岗位或辖区不允许",
    "404": "没有，或不在权限之内",
    "409": "当前状态不允许",
    "422": "内容有误，见 field 与 advice",
    "503": "服务暂不可用，可用同一 Idempotency-Key 重试",
}


class Refusal(msgspec.Struct):
    """What every refusal looks like."""

    code: str
    reason: str | None
    message: str
    field: str | None
    advice: str | None


@cache
def document() -> Schema:
    """The whole OpenAPI document."""
    table = operations()
    types = [t for operation in table for t in (operation.request, operation.request.result_type())]
    schemas, components = msgspec.json.schema_components(
        [*types, Refusal], ref_template="#/components/schemas/{name}"
    )
    shown = iter(schemas)
    paths = {
        operation.path: {operation.verb.lower(): _operation(operation, next(shown), next(shown))}
        for operation in table
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "直达 REST API",
            "version": "1",
            "description": "与工作台相同的命令和查询。金额一律为整数分；日期为 YYYY-MM-DD。",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"actor": []}],
        "paths": {**paths, **_files()},
        "components": {
            "schemas": components,
            "securitySchemes": {"actor": {"type": "http", "scheme": "bearer"}},
        },
    }


def _files() -> Schema:
    """Handing files in and fetching them."""
    service = {"name": "service", "in": "path", "required": True, "schema": {"type": "string"}}
    name = {"name": "name", "in": "query", "required": True, "schema": {"type": "string"}}
    file_id = {
        "name": "file_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    kept = {"type": "object", "properties": {"file_id": {"type": "string", "format": "uuid"}}}
    return {
        "/{service}/files": {
            "post": {
                "operationId": "UploadFile",
                "tags": ["files"],
                "summary": "Hand a file to the service that will read it.",
                "parameters": [service, name],
                "requestBody": {"required": True, "content": content},
                "responses": {
                    "201": {
                        "description": "办成",
                        "content": {"application/json": {"schema": kept}},
                    }
                },
            }
        },
        "/{service}/files/{file_id}": {
            "get": {
                "operationId": "DownloadFile",
                "tags": ["files"],
                "summary": "A file that a service keeps.",
                "parameters": [service, file_id],
                "responses": {"200": {"description": "文件", "content": content}},
            }
        },
    }


def _operation(operation: Operation, asked: Schema, answered: Schema) -> Schema:
    """One operation: parameters or body, the answer, the refusals."""
    refusal = {"$ref": "#/components/schemas/Refusal"}
    described: Schema = {
        "operationId": operation.request.__name__,
        "tags": [operation.service],
        "summary": operation.summary,
        "parameters": [],
        "responses": {
            "200": {"description": "办成", "content": {"application/json": {"schema": answered}}},
            **{
                status: {"description": words, "content": {"application/json": {"schema": refusal}}}
                for status, words in REFUSALS.items()
            },
        },
    }
    if operation.is_open:
        described["security"] = []
    elif operation.kind == "command":
        described["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "同一键同一内容只办一次，得到第一次的答复；同一键不同内容是错误",
                "schema": {"type": "string"},
            }
        )
    if operation.verb == "GET":
        described["parameters"] += [
            {
                "name": field.name,
                "in": "query",
                "required": field.required,
                "schema": msgspec.json.schema(field.type),
            }
            for field in msgspec.structs.fields(operation.request)
        ]
    else:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": asked}},
        }
    return described
