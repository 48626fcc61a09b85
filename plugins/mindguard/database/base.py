"""The base class of all tables in the operations database. `migrations/` creates them; docs/adr/0014 gives reasons."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

SCHEMA = "mindguard"


class Base(DeclarativeBase):
    """Base class of all tables; all times are aware."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy expects a plain dict
        datetime: DateTime(timezone=True),
        int: BigInteger(),
        str: String(),
        list[dict[str, str]]: JSONB(),
        dict[str, Any]: JSONB(),
    }
