"""The API described for programs (OpenAPI 3.1). A test holds it to the routes and to what they answer."""

from typing import Any

from retrieval.serve.encoder import KINDS
from retrieval.serve.question import MOST_TERMS, MOST_WEIGHT
from retrieval.serve.settings import Settings

MOMENT = {
    "id": {"type": "integer", "description": "of the row; its best one where rows were joined"},
    "recording": {"type": "string"},
    "name": {"type": "string", "description": "file name of the recording"},
    "start": {"type": "number", "description": "seconds of presentation time"},
    "end": {"type": "number"},
    "peak": {"type": "number", "description": "where a player should begin"},
    "score": {"type": ["number", "null"], "description": "inner product with the query; null when browsing"},
    "calibrated": {"type": ["number", "null"], "description": "standard score, by which `any` is ordered"},
    "modality": {"type": "string"},
    "box": {
        "type": ["object", "null"],
        "description": "where in the picture what was asked for is, where the index has regions: edges as fractions of "
        "width and height, and the seconds of the window in which it was found",
        "properties": {name: {"type": "number"} for name in ("left", "top", "right", "bottom", "start", "end")},
        "required": ["left", "top", "right", "bottom", "start", "end"],
    },
    "narration": {"type": "string"},
    "said": {
        "type": "array",
        "description": "phrases in and around the moment, where the store has text",
        "items": {
            "type": "object",
            "properties": {"start": {"type": "number"}, "end": {"type": "number"}, "text": {"type": "string"}},
            "required": ["start", "end", "text"],
        },
    },
    "columns": {"type": "object", "description": "the user's own columns"},
    "media": {"type": "string", "description": "address of the recording in this service"},
    "type": {"type": "string", "description": "its media type; empty where it cannot be played"},
}
FILTERS = {
    "type": "object",
    "description": "conditions that all must hold, applied before the search",
    "properties": {
        "recording": {"type": "string"},
        "said": {"type": "string", "description": "words the narration contains"},
        "since": {"type": "number", "description": "moments that end at this second or later"},
        "until": {"type": "number", "description": "moments that begin at this second or earlier"},
        "columns": {"type": "object", "description": "column of the user's own -> value"},
    },
    "additionalProperties": False,
}


def describe(settings: Settings) -> dict[str, Any]:
    """The whole description as JSON."""
    limits = settings.limits
    options = {
        "among": {"type": "string", "description": "modality to be found, or any"},
        "top": {"type": "integer", "minimum": 1, "maximum": limits.most_hits, "default": 20},
        "windows": {"type": "boolean", "description": "do not join windows that touch"},
        "own": {"type": "boolean", "description": "with an item: also find its own recording"},
        "centered": {
            "type": "boolean",
            "description": "without what all that the store holds of its kind has in common, such as one voice",
        },
        "filters": {"$ref": "#/components/schemas/Filters"},
    }
    text = {"type": "string", "maxLength": limits.text_characters}
    weight = {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_WEIGHT, "default": 1}
    minus = {
        "type": "array",
        "maxItems": MOST_TERMS,
        "description": "what to keep away from",
        "items": {
            **_object({"text": text, "item": {"type": "integer"}, "weight": weight}, []),
            "oneOf": [{"required": ["text"]}, {"required": ["item"]}],
            "additionalProperties": False,
        },
    }
    question = _object({"text": text, "item": {"type": "integer"}, "minus": minus, **options}, [])
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    kind = {"type": "string", "enum": list(KINDS[1:])}
    told = {"type": "string", "description": "JSON, as of a search"}
    sound = _object({"file": file, "kind": kind, "question": told}, ["file", "kind"])
    away = {"minus": {**file, "description": "what to keep away from"}, "minus_kind": kind}
    sent = {
        **_object({"file": file, "kind": kind, **away, "question": told}, []),
        "anyOf": [{"required": ["file", "kind"]}, {"required": ["minus", "minus_kind", "question"]}],
    }
    asked = _object({"text": text, "start": {"type": "number"}, "end": {"type": "number"}}, [])
    moments = {"type": "array", "items": {"$ref": "#/components/schemas/Moment"}}
    found = _object({"moments": moments, "behind": {"type": "string"}}, ["moments", "behind"])
    browsed = _object({"moments": moments, "total": {"type": "integer"}}, ["moments", "total"])
    heat = _object(
        {
            "times": {"type": "array", "items": {"type": "number"}},
            "rows": {"type": "integer"},
            "columns": {"type": "integer"},
            "levels": {"type": "array", "description": "per time, rows * columns of 0 (dark) to 255"},
            "scale": {"type": "string", "description": "how the threshold was chosen"},
        },
        ["times", "rows", "columns", "levels", "scale"],
    )
    row = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    in_query = [
        {"name": name, "in": "query", "schema": {"type": kind}}
        for name, kind in (
            ("among", "string"), ("filters", "string"), ("offset", "integer"), ("limit", "integer"), ("even", "boolean")
        )
    ]  # fmt: skip
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "retrieval", "version": "1", "description": "Which moment of which recording?"},
        "paths": {
            "/api/info": {"get": _call("what the store holds and what can be asked", _json({"type": "object"}))},
            "/api/session": {"post": _call("keep the token as a cookie", None)},
            "/api/items": {"get": _call("browse", _json(browsed), parameters=in_query)},
            "/api/items/{id}": {"get": _call("one moment", _json(_moment_of()), parameters=[row])},
            "/api/items/{id}/heat": {
                "post": _call(
                    "where words, a sound, or the recording's own sound is",
                    _json(heat),
                    parameters=[row],
                    body={**_json(asked), "multipart/form-data": {"schema": sound}},
                )
            },
            "/api/search": {"post": _call("search by text, by item, or by both", _json(found), body=_json(question))},
            "/api/search/upload": {
                "post": _call(
                    "search by a picture, a sound or a clip, or away from one, with text or an item or without",
                    _json(found),
                    body={"multipart/form-data": {"schema": sent}},
                )
            },
            "/media/{id}": {
                "get": _call("the recording of a moment, in byte ranges", {"*/*": {"schema": {}}}, parameters=[row])
            },
        },
        "components": {"schemas": {"Moment": _object(MOMENT, list(MOMENT)), "Filters": FILTERS}},
    }
    if settings.token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return described


def _moment_of() -> dict[str, Any]:
    return {"$ref": "#/components/schemas/Moment"}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _call(
    summary: str, content: dict[str, Any] | None, *, parameters: Any = None, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    good = {"204": {"description": "done"}} if content is None else {"200": {"description": "done", "content": content}}
    error = {"description": "error: one line", "content": _json(_object({"error": {"type": "string"}}, ["error"]))}
    told: dict[str, Any] = {"summary": summary, "responses": {**good, "4XX": error, "5XX": error}}
    if parameters:
        told["parameters"] = parameters
    if body:
        told["requestBody"] = {"content": body}
    return told
