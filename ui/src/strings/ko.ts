import type { Strings } from ".";

/** 화면에 보이는 모든 문구의 한국어판. */
export const ko: Strings = {
  site: {
    name: "Voice Core",
    skip: "본문으로 건너뛰기",
    navigation: "페이지",
    language: "언어",
    languages: { en: "English", ko: "한국어" },
    theme: "화면 테마",
    themes: { auto: "자동", light: "밝게", dark: "어둡게" },
    api: "HTTP API",
    footer: "제출된 목소리를 듣고 비교합니다.",
  },
  common: {
    close: "닫기",
    cancel: "취소",
    retry: "다시 시도",
    copy: "복사",
    copied: "복사됨",
    loading: "불러오는 중…",
    unreachable: "서버가 응답하지 않습니다. 연결을 확인한 뒤 다시 시도하세요.",
    unreadable: (status) => `서버가 상태 코드 ${status}만 보내고 이유를 알려 주지 않았습니다. 다시 시도해 보고, 계속되면 서버 운영자에게 문의하세요.`,
    broken: "페이지에 오류가 생겼습니다. 새로 고침하세요.",
  },
  key: {
    title: "이 서버를 쓰려면 키가 필요합니다",
    why: "키는 서버 운영자가 알려 줍니다. 이 브라우저에만 보관되고 이 서버에만 전송됩니다.",
    label: "API 키",
    wrong: "서버가 이 키를 받아들이지 않았습니다.",
    remember: "이 브라우저에 저장하기",
    submit: "계속",
  },
  landing: {
    title: "목소리를 보내고, 바로 들어 보세요.",
    lead: "Voice Core는 여러분이 직접 학습시킨 음성 모델을 받아 검사하고, 여러 모델로 동시에 말합니다. 듣는 사람은 누구의 목소리인지 모르는 채로 비교합니다.",
    doors: {
      model: {
        title: "음성 모델이 있어요",
        text: "GPT-SoVITS나 XTTS로 만든 폴더입니다. 보는 앞에서 검사하고, 1분 뒤면 말을 합니다.",
        action: "모델 기여하기",
        closed: "아직 이 페이지에서는 할 수 없습니다. 서버에서 voicecore submit FOLDER를 실행하세요.",
      },
      data: {
        title: "음성 데이터가 있어요",
        text: "본인에게 공유할 권리가 있는 녹음입니다. 실제 사람의 말소리만, 배경 소음 없이, .wav 파일로 보내 주세요.",
        action: "녹음 기여하기",
        closed: "녹음은 아직 받지 않습니다. 압축하거나 편집하지 않은 원본 .wav 파일을 보관해 두세요.",
      },
      listen: {
        title: "말하고 들어 보기",
        text: "글을 쓰고 목소리를 고르면, 음성이 만들어지는 대로 들을 수 있습니다.",
        action: "플레이그라운드 열기",
        closed: "아직 이 페이지에서는 할 수 없습니다. POST /v1/audio/speech로 말하게 할 수 있습니다.",
      },
    },
    recognition: {
      title: "음성 인식",
      text: "말을 글로 바꾸는 기능(STT)은 Azure가 제공합니다. 기여를 받지 않으므로 여기에 보낼 것은 없습니다.",
    },
  },
  notFound: {
    title: "그런 페이지가 없습니다",
    text: "주소가 잘못되었거나, 가리키던 것이 없어졌습니다.",
    home: "처음으로",
  },
};
