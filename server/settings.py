"""Every setting, its default and its sentence.

Read once at the edge from `VOICECORE_*` variables or flags of `voicecore serve`, then passed down frozen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="VOICECORE_", frozen=True, extra="forbid", populate_by_name=True
    )

    home: Path = Field(Path("~/.voicecore"), description="The data folder: store, caches, sockets.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    api_key: SecretStr | None = Field(None, description="Requests must carry it as a bearer token.")
    allow_public_without_key: bool = Field(
        False, description="Listen on other addresses than loopback although there is no API key."
    )
    cors_origins: tuple[str, ...] = Field((), description="Origins that browsers may call from; * for any.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto is console on a terminal and json elsewhere."
    )

    device: str = Field("auto", description="cpu, cuda:0 …; auto takes the first CUDA device, else the CPU.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Number format of the models; auto is bfloat16 on CUDA and float32 on CPU."
    )
    kv_cache: Literal["auto", "fp8"] = Field(
        "auto",
        description="Number format of cached keys and values; auto is that of the models. fp8 is half of "
        "bfloat16, for large batches on CUDA from compute capability 8.9 on.",
    )
    threads: int = Field(0, ge=0, description="CPU threads of the device process; 0 is one per core.")
    slots: int = Field(
        0,
        ge=0,
        description="Utterances decoded at once per engine; 0 is 8 on CPU; on CUDA 8 per GiB, up to 1,024.",
    )
    device_budget_gib: float = Field(
        0,
        ge=0,
        description="Weights kept on the device; 0 is 60 % of its memory (CPU: of the machine's), "
        "67 % of an H200's.",
    )
    host_budget_gib: float = Field(8, ge=0, description="Weights kept in host memory when off the device.")
    conditioning_cache_mib: float = Field(256, ge=0, description="Conditionings kept in memory, by voice.")
    default_model: str = Field("demo", description="Submission that answers to OpenAI's model names.")
    demo: bool = Field(True, description="Put the voices of the project into a store that has none.")
    preload: tuple[str, ...] = Field((), description="Submissions to load before the server is ready.")
    chinese_without_roberta: bool = Field(
        False,
        description="Speak Chinese with GPT-SoVITS although the base model roberta is missing, "
        "with zeros for its features.",
    )

    http_processes: int = Field(1, ge=1, description="Processes that serve HTTP.")
    text_processes: int = Field(1, ge=1, description="Text processes per HTTP process.")
    max_queued_utterances: int = Field(
        256, ge=1, description="Utterances waiting for a slot; beyond it: 429."
    )
    max_input_chars: int = Field(20_000, ge=1, description="Characters in one request's input.")
    request_timeout_s: float = Field(600, gt=0, description="Longest a request may take.")
    max_upload_gib: float = Field(8, gt=0, description="Largest submission upload.")
    upload_expiry_h: float = Field(
        72, gt=0, description="Hours that a resumable upload waits for its rest, or to be handed in."
    )
    max_voice_upload_mib: float = Field(50, gt=0, description="Largest voice upload.")

    database_url: SecretStr | None = Field(
        None,
        description="Database of the listening tests, postgresql://…; without it SQLite in the data folder.",
    )

    recogniser: str = Field(
        "auto",
        description="Recogniser of evaluations: faster-whisper, azure, pocketsphinx, none; auto takes the "
        "first that is set up.",
    )
    whisper_model: Path | None = Field(
        None, description="Folder of a converted Whisper model; none is ever fetched."
    )
    azure_speech_key: SecretStr | None = Field(None, description="Key of an Azure Speech resource.")
    azure_speech_region: str | None = Field(
        None, pattern="^[a-z0-9]+$", description="Region of that resource, such as koreacentral."
    )
    azure_speech_endpoint: str | None = Field(
        None, pattern="^https?://", description="Address of Azure Speech in place of the region's."
    )
    gate: tuple[str, ...] = Field(
        (),
        description="Bounds that a submission's evaluation must keep before it gets a name, such as "
        '["cer<=0.25", "dnsmos>=2.8"].',
    )

    hub_endpoint: str = Field(
        "https://huggingface.co",
        pattern="^https?://",
        validation_alias=AliasChoices("VOICECORE_HUB_ENDPOINT", "HF_ENDPOINT"),
        description="Where `voicecore pull` and `voicecore base pull` fetch from; HF_ENDPOINT counts too.",
    )

    @field_validator("gate")
    @classmethod
    def _is_made_of_bounds(cls, gate: tuple[str, ...]) -> tuple[str, ...]:
        from server.evaluation.gate import parse_bound  # only where there is a gate

        for bound in gate:
            parse_bound(bound)
        return gate

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            from server.listening.database import (
                parse_url,
            )  # SQLAlchemy, only where somebody names a database

            parse_url(url.get_secret_value())
        return url

    @property
    def dispensable_base_models(self) -> frozenset[str]:
        """Roles that requests are spoken without where they are missing, although they need them."""
        return frozenset({"roberta"} if self.chinese_without_roberta else ())

    @property
    def home_path(self) -> Path:
        return self.home.expanduser().resolve()

    @property
    def store_path(self) -> Path:
        return self.home_path / "store"

    @property
    def voice_data_path(self) -> Path:
        return self.home_path / "voice_data"
