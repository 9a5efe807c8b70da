"""What GPT-SoVITS's own HTTP API (its `api_v2.py`) asks and answers, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from server.http.schemas import ClientRequest, Error, speakable

CutMethod = Literal["cut0", "cut1", "cut2", "cut3", "cut4", "cut5"]
MediaType = Literal["wav", "raw", "ogg", "aac"]

_STREAMING_MODES = {"false": 0, "true": 1, "0": 0, "1": 1, "2": 2, "3": 3, "": 0}
_NO_EFFECT = "Accepted, without effect: "
_SCHEDULED = _NO_EFFECT + "requests share batches, and no batch changes what is spoken."
_V3_ONLY = _NO_EFFECT + "of v3 and v4 only."
_ONE_STREAM = _NO_EFFECT + "audio streams as it is made, and no cut changes it."


def _streaming_mode(value: Any) -> Any:
    """Clients send booleans, numbers, and either as text."""
    return _STREAMING_MODES.get(str(value).lower(), value)


def _without_empty(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    return [name for name in names if name != ""]


def _single_reference(names: list[str]) -> list[str]:
    if names:
        raise ValueError(
            "none; several recordings of a speaker are one registered voice here "
            "(POST /v1/audio/voices takes them together), whose name ref_audio_path takes"
        )
    return names


class TtsRequest(ClientRequest):
    """The 24 fields of api_v2's requests, with its defaults where a submission has none of its own."""

    text: Annotated[str, AfterValidator(speakable)] = Field(description="The text to speak.")
    text_lang: str | None = Field(
        default=None, description="`zh`, `all_zh`, `auto` …, or BCP-47; left out, it is detected."
    )
    ref_audio_path: str = Field(
        min_length=1,
        description="Who speaks: `SUBMISSION`, `VOICE` (in the default model) or `SUBMISSION/VOICE`. Folders "
        "before it and an audio suffix behind it are ignored; it is looked up, never opened.",
    )
    aux_ref_audio_paths: Annotated[
        list[str], BeforeValidator(_without_empty), AfterValidator(_single_reference)
    ] = Field(default=[], description="None: register all recordings of a speaker as one voice.")
    prompt_text: str = Field(
        default="", description=_NO_EFFECT + "the registered voice has its own transcript."
    )
    prompt_lang: str = Field(
        default="", description=_NO_EFFECT + "the registered voice has its own language."
    )
    top_k: int | None = Field(default=None, ge=0, le=2**31 - 1, description="0 is off.")
    top_p: float | None = Field(default=None, gt=0.0, le=1.0, allow_inf_nan=False)
    temperature: float | None = Field(
        default=None, ge=0.0, le=10.0, allow_inf_nan=False, description="0 is greedy."
    )
    text_split_method: CutMethod = Field(
        default="cut5", description="How the text is cut into utterances; XTTS has a way of its own."
    )
    batch_size: int = Field(default=1, description=_SCHEDULED)
    batch_threshold: float = Field(default=0.75, description=_SCHEDULED)
    split_bucket: bool = Field(default=True, description=_SCHEDULED)
    speed_factor: float = Field(default=1.0, ge=0.25, le=4.0, allow_inf_nan=False)
    fragment_interval: float = Field(
        default=0.3,
        ge=0.0,
        le=10.0,
        allow_inf_nan=False,
        description="Seconds of silence behind each utterance.",
    )
    seed: int = Field(default=-1, ge=-1, lt=2**63, description="-1: drawn, and told as x-seed.")
    media_type: MediaType = Field(
        default="wav",
        description="raw is 16-bit little-endian mono at the submission's own rate; ogg is Opus.",
    )
    streaming_mode: Annotated[Literal[0, 1, 2, 3], BeforeValidator(_streaming_mode)] = Field(
        default=0,
        description="0 or false: the whole file at its end. 1, 2, 3 or true: audio as it is made, all alike.",
    )
    parallel_infer: bool = Field(default=True, description=_SCHEDULED)
    repetition_penalty: float | None = Field(default=None, gt=0.0, le=100.0, allow_inf_nan=False)
    sample_steps: int = Field(default=32, description=_V3_ONLY)
    super_sampling: bool = Field(default=False, description=_V3_ONLY)
    overlap_length: int = Field(default=2, description=_ONE_STREAM)
    min_chunk_length: int = Field(default=16, description=_ONE_STREAM)

    @property
    def sampling_changes(self) -> dict[str, float | int]:
        """The given fields of SamplingParams."""
        given = self.model_dump(
            include={"top_k", "top_p", "temperature", "repetition_penalty"}, exclude_none=True
        )
        return given if self.seed == -1 else given | {"seed": self.seed}


class TtsFailure(BaseModel):
    """What api_v2's clients read, `message` or `Exception`, and our own error beside it."""

    message: str = Field(description="What was found, what was expected, what to do.")
    Exception: str = Field(description="The same.")
    error: Error


class Done(BaseModel):
    message: Literal["success"] = "success"
    note: str


class Speaker(BaseModel):
    """As SillyTavern lists them."""

    name: str
    voice_id: str = Field(description="What `ref_audio_path` takes.")
    preview_url: str = ""
