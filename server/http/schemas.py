"""What requests may say and what responses look like; the OpenAPI page is made of these models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from server.http.encoders import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ

ResponseFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
StreamFormat = Literal["audio", "sse"]
Place = Literal["device", "host", "disk"]


def speakable(text: str) -> str:
    if not text.strip():
        raise ValueError("some text to speak")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Unicode text; half of a surrogate pair is no character")  # JSON lets them pass
    return text


class VoiceReference(BaseModel):
    """OpenAI's other way to name a voice."""

    id: str


class ClientRequest(BaseModel):
    """Fields that nobody knows are ignored, and null means the default: clients send both."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {name: value for name, value in data.items() if value is not None}
        return data


class SpeechRequest(ClientRequest):
    """OpenAI's fields, then ours."""

    input: Annotated[str, AfterValidator(speakable)] = Field(description="The text to speak.")
    model: str | None = Field(
        default=None, description="A submission's name or id; OpenAI's model names mean the default model."
    )
    voice: str | VoiceReference = Field(
        default="default",
        description="A registered voice's name or id; `default` and OpenAI's voice names mean the "
        "submission's own.",
    )
    response_format: ResponseFormat = Field(
        default="mp3", description="pcm is 16-bit little-endian mono at 24 kHz."
    )
    speed: float = Field(default=1.0, ge=0.25, le=4.0, allow_inf_nan=False)
    stream_format: StreamFormat = Field(
        default="audio", description="sse: events speech.audio.delta and speech.audio.done instead of bytes."
    )
    instructions: str | None = Field(default=None, description="Accepted and ignored: no family follows any.")

    language: str | None = Field(
        default=None,
        description="BCP-47, or as GPT-SoVITS writes it (`all_zh`, `auto`); left out, it is detected.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="The same seed gives the same speech; left out, it is drawn.",
    )
    temperature: float | None = Field(
        default=None, ge=0.0, le=10.0, allow_inf_nan=False, description="0 is greedy."
    )
    top_k: int | None = Field(default=None, ge=0, le=2**31 - 1, description="0 is off.")
    top_p: float | None = Field(default=None, gt=0.0, le=1.0, allow_inf_nan=False)
    repetition_penalty: float | None = Field(default=None, gt=0.0, le=100.0, allow_inf_nan=False)
    noise_scale: float | None = Field(
        default=None,
        ge=0.0,
        le=2.0,
        allow_inf_nan=False,
        description="Of the noise that GPT-SoVITS speaks with, 0.5 if left out; 0 is none. XTTS has none.",
    )
    sample_rate: int | None = Field(
        default=None,
        ge=MIN_SAMPLE_RATE_HZ,
        le=MAX_SAMPLE_RATE_HZ,
        description="Hz, 24000 if left out; a codec that lacks the rate takes its next higher one.",
    )

    @property
    def voice_name(self) -> str:
        return self.voice.id if isinstance(self.voice, VoiceReference) else self.voice

    @property
    def sampling_changes(self) -> dict[str, float | int]:
        """The given fields of SamplingParams."""
        names = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "noise_scale")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class PromptsRequest(ClientRequest):
    """The fields of a speech request that its text is read by."""

    input: Annotated[str, AfterValidator(speakable)] = Field(description="The text to read.")
    model: str | None = Field(default=None, description="As of a speech request.")
    language: str | None = Field(default=None, description="As of a speech request.")


class SpokenPrompt(BaseModel):
    """One utterance."""

    text: str = Field(description="As it is spoken: numbers and signs are words.")
    language: str
    tokens: int


class SamplingDefaults(BaseModel):
    """What a submission speaks with where a request says nothing else."""

    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    noise_scale: float = Field(description="0: the family has none.")


class Prompts(BaseModel):
    """A text as a submission reads it."""

    characters: int
    max_characters: int
    languages: list[str] = Field(description="Given, or detected.")
    utterances: list[SpokenPrompt]
    sampling: SamplingDefaults


class Error(BaseModel):
    message: str = Field(description="What was found, what was expected, what to do.")
    type: str
    param: str | None = Field(description="The field that is to blame.")
    code: str


class Failure(BaseModel):
    """Every answer but a 2xx, as OpenAI's clients read it."""

    error: Error


class VoiceName(BaseModel):
    name: str


class Model(BaseModel):
    """OpenAI's model object and what a listener wants to know besides."""

    id: str = Field(description="The submission's name, or its id where it has none.")
    object: Literal["model"] = "model"
    created: int = Field(description="Seconds since 1970.")
    owned_by: str = "voicecore"
    submission_id: str
    family: str
    variant: str
    languages: list[str]
    voices: list[VoiceName]
    resident: Place | None = Field(
        description="Where its weights are; null while the device process doesn't answer."
    )
    size_bytes: int


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class AudioModel(BaseModel):
    id: str


class AudioModelList(BaseModel):
    """The shape that Open WebUI reads."""

    models: list[AudioModel]


class Voice(BaseModel):
    id: str = Field(description="What `voice` of a speech request takes.")
    name: str
    voice_id: str | None = Field(
        default=None, description="The digest of its recordings; null for `default`."
    )
    duration_s: float | None = None
    language: str | None = None


class VoiceList(BaseModel):
    voices: list[Voice]


class AddedVoice(Voice):
    object: Literal["audio.voice"] = "audio.voice"
    created_at: int
    warnings: list[str]


class Deleted(BaseModel):
    id: str
    object: str
    deleted: Literal[True] = True


class UploadedFiles(ClientRequest):
    """A submission whose files have arrived as resumable uploads."""

    name: str = Field(description="What to call the submission.")
    uploads: list[str] = Field(
        min_length=1,
        max_length=1_000,
        description="Ids or locations of complete uploads: one archive, or each file of the folder.",
    )

    @property
    def upload_ids(self) -> list[str]:
        return [upload.rpartition("/")[2] for upload in self.uploads]


class SubmissionName(BaseModel):
    """The body of a name's move."""

    submission: str = Field(description="The name or id of the submission that the name shall mean.")


class Declared(ClientRequest):
    """What a contributor declares of recordings."""

    check: bool = Field(default=False, description="Only look at them: nothing is declared, nothing kept.")
    version: str | None = Field(default=None, description="Of the declaration's text that was read.")
    licence: str | None = Field(default=None, description="One of `GET /v1/voice-data/rules`.")
    source: str | None = Field(default=None, description="Where the recordings come from.")
    right_to_share: bool = False
    speaker_consent: bool = False
    authentic_source: bool = False
    contributor: str | None = Field(default=None, description="Whom to ask about them; may be left out.")
    language: str | None = Field(default=None, description="What is spoken in them: BCP-47.")


class DeclaredRecordings(Declared):
    """Recordings that have arrived as resumable uploads, and what their contributor declares."""

    uploads: list[str] = Field(
        min_length=1, max_length=1_000, description="Ids or locations of complete uploads: wavs, or zips."
    )

    @property
    def upload_ids(self) -> list[str]:
        return [upload.rpartition("/")[2] for upload in self.uploads]


class Moment(BaseModel):
    measurement: str
    start_s: float
    end_s: float


class Finding(BaseModel):
    rule: str = Field(description="One of the rules, `wav`, or `unmeasured`.")
    severity: Literal["warning", "refusal"]
    measurement: str
    value: float | str | None
    bound: float | None
    message: str
    moments: list[Moment]


class LookedAt(BaseModel):
    """One recording: its verdict, every measurement, every broken rule and the moments concerned."""

    file: str
    digest: str
    size_bytes: int
    verdict: Literal["accepted", "accepted_with_warnings", "refused"]
    not_wav: str | None = Field(default=None, description="What it is where it is no wav.")
    duplicate_of: str | None = None
    measurements: dict[str, float | str | None]
    findings: list[Finding]
    speech: list[tuple[float, float]] = Field(description="Stretches of speech: start and end in s.")
    waveform: list[float] = Field(description="Lowest and highest sample of even pieces, by turns.")


class ContributedRecording(BaseModel):
    file: str
    digest: str
    size_bytes: int
    duration_s: float
    verdict: Literal["accepted", "accepted_with_warnings"]


class Contribution(BaseModel):
    """Recordings that were taken in, and what was declared of them."""

    id: str
    object: Literal["contribution"] = "contribution"
    contributed_at: str
    language: str | None
    declaration: dict[str, Any]
    recordings: list[ContributedRecording]
    receipt: str = Field(description="Digest of the ledger's record: keep it, it proves what was declared.")
    withdrawn_at: str | None


class ContributionList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Contribution]


class Verification(BaseModel):
    ok: bool
    num_records: int
    head: str = Field(description="Digest of the last record: a receipt for all of them.")
    problems: list[str]


class VoiceDataRule(BaseModel):
    name: str
    subject: str
    measurement: str
    unit: str
    side: Literal["at_least", "at_most"]
    warn: float | None
    refuse: float | None
    source: str
    remedy: str


class Licence(BaseModel):
    id: str
    title: str
    url: str


class MeasurementText(BaseModel):
    unit: str
    range: str
    method: str
    source: str


class VoiceDataRules(BaseModel):
    """What is asked of recordings, by a machine's ears and by word of honour."""

    version: str
    statements: dict[str, str] = Field(description="What is declared, word for word.")
    licences: list[Licence]
    rules: list[VoiceDataRule]
    measurements: dict[str, MeasurementText]


class IntakeProgress(BaseModel):
    phase: str
    done_bytes: int
    total_bytes: int


class Intake(BaseModel):
    """One upload on its way into the store, of a submission or of recordings."""

    id: str
    object: Literal["intake"] = "intake"
    name: str
    status: Literal["waiting", "running", "published", "checked", "refused", "failed"]
    progress: IntakeProgress | None = None
    submission_id: str | None = Field(default=None, description="Once it is published.")
    is_new: bool | None = Field(
        default=None, description="False: the same content had been submitted before."
    )
    report: dict[str, Any] | None = Field(default=None, description="As `voicecore check --json` prints it.")
    contribution: Contribution | None = Field(default=None, description="Of recordings that were taken in.")
    recordings: list[LookedAt] | None = Field(default=None, description="Every recording, refused ones too.")
    error: dict[str, Any] | None = Field(default=None, description="Why it was refused or failed.")


class Submission(BaseModel):
    id: str
    object: Literal["submission"] = "submission"
    names: list[str]
    family: str
    variant: str
    languages: list[str]
    size_bytes: int
    submitted_at: str


class SubmissionList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Submission]


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class MissingBaseModel(BaseModel):
    role: str
    needed_by: list[str] = Field(description="Names of submissions, or ids of nameless ones.")
    consequence: str = Field(description="Of its absence.")
    remedy: str


class Readiness(BaseModel):
    status: Literal["ready", "starting"]
    worker: Literal["up", "down"]
    missing: list[str] = Field(description="Preloaded submissions that aren't resident yet.")
    missing_base_models: list[MissingBaseModel] = Field(
        description="What some submissions can't do everything without; the others are ready all the same."
    )


class About(BaseModel):
    name: Literal["Voice Core"] = "Voice Core"
    speech: str = "POST /v1/audio/speech"
    models: str = "GET /v1/models"
    docs: str = "/docs"
