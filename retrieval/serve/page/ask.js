// The box: words, a file or a sound from the microphone, alone or together, and the filters.
import { $, el } from "./dom.js";

const RECORD_SECONDS = 15;
const NAMES = { video: "pictures", image: "images", audio: "sounds", text: "words", any: "anything" };
const UNLIKE = "Without what all that this store holds of a kind has in common: one voice, one room, one camera";
const ENDINGS = { audio: /\.(wav|mp3|flac|ogg|oga|opus|m4a|aac|aiff?)$/i, image: /\.(png|jpe?g|gif|webp|bmp|tiff?)$/i };

export function kindOf(file) {
  const told = file.type.split("/")[0];
  if (["audio", "image", "video"].includes(told)) return told;
  return Object.keys(ENDINGS).find((kind) => ENDINGS[kind].test(file.name)) ?? "video";
}

export class Ask {
  // search(): called when something is to be found; complain(text): shows what is wrong with a file
  constructor(info, search, complain) {
    this.info = info;
    this.search = search;
    this.complain = complain;
    this.file = null;
    this.kind = "";
    this.item = null;
    this.away = []; // {file, kind, name} or {item, name}
    this.recording = "";
    this.build();
    $("ask").onsubmit = (event) => {
      event.preventDefault();
      search();
    };
    $("attach").onclick = () => $("file").click();
    $("file").onchange = () => {
      if ($("file").files.length) this.attach($("file").files[0]);
      $("file").value = "";
    };
    const files = info.kinds.some((kind) => kind !== "text");
    $("attach").hidden = !files;
    if (info.kinds.includes("audio") && navigator.mediaDevices && window.MediaRecorder) {
      $("listen").hidden = false;
      $("listen").onclick = () => this.listen();
    }
    if (files) this.acceptDrops();
    if (!info.kinds.includes("text")) {
      $("text").disabled = true;
      $("text").placeholder = files ? "Search with a file or a sound" : "Browse, and find more like what you see";
      $("ask").querySelector(".go").hidden = true;
    }
  }

  build() {
    const { modalities, columns, usual } = this.info;
    const held = Object.keys(modalities).filter((name) => modalities[name]);
    const choices = held.length > 1 ? [...held, "any"] : [];
    const among = el("span", { className: "among", role: "radiogroup", ariaLabel: "Look in" });
    for (const name of choices) {
      const radio = el("input", { type: "radio", name: "among", value: name, checked: name === usual });
      radio.onchange = () => this.search();
      among.append(el("label", {}, radio, el("span", {}, NAMES[name] ?? name)));
    }
    const said = el("input", { type: "search", id: "said", placeholder: "said: any words", ariaLabel: "Words that are said" });
    said.onchange = () => this.search();
    const selects = Object.entries(columns).map(([name, values]) => {
      const select = el("select", { ariaLabel: name, title: name }, el("option", { value: "" }, `${name}: any`));
      values.forEach(([value], place) => select.append(el("option", { value: String(place) }, String(value))));
      select.onchange = () => {
        select.classList.toggle("set", select.value !== "");
        this.search();
      };
      select.choice = () => (select.value === "" ? null : [name, values[Number(select.value)][0]]);
      return select;
    });
    this.selects = selects;
    this.centered = el("input", { type: "checkbox", id: "centered" });
    this.centered.onchange = () => this.search();
    const unlike = el("label", { className: "tick", title: UNLIKE }, this.centered, el("span", {}, "another voice or room"));
    const only = el("span", { id: "only", className: "chip", hidden: true });
    $("filters").replaceChildren(among, said, ...selects, unlike, only);
  }

  // What is asked, as the service takes it.
  question() {
    const among = document.querySelector("input[name=among]:checked")?.value ?? "";
    const columns = Object.fromEntries(this.selects.map((select) => select.choice()).filter(Boolean));
    const filters = { columns };
    if ($("said").value.trim()) filters.said = $("said").value.trim();
    if (this.recording) filters.recording = this.recording;
    return { among, filters, ...(this.centered.checked && { centered: true }) };
  }

  within(recording) {
    this.recording = recording;
    const only = $("only");
    only.hidden = !recording;
    const close = el("button", { type: "button", className: "plain", ariaLabel: "In all recordings" }, "×");
    close.onclick = () => {
      this.within("");
      this.search();
    };
    only.replaceChildren(el("span", {}, `only in ${recording}`), close);
  }

  attach(file, kind = kindOf(file), name = file.name) {
    if (!this.info.kinds.includes(kind)) return this.complain(`The network behind this store cannot search with ${kind}.`);
    if (file.size > this.info.limits.upload_bytes) {
      return this.complain(`${name} has ${Math.ceil(file.size / 2 ** 20)} MB; at most ${this.info.limits.upload_bytes / 2 ** 20} are taken.`);
    }
    if (file.size === 0) return this.complain(`${name} is empty.`);
    this.forget();
    this.file = file;
    this.kind = kind;
    let choice = null;
    if (kindOf(file) === "video" && this.info.kinds.includes("audio") && file.type !== "audio/webm") {
      choice = el("select", { ariaLabel: "Search with" }, el("option", { value: "video" }, "pictures"), el("option", { value: "audio" }, "sound"));
      choice.onchange = () => {
        this.kind = choice.value;
        this.search();
      };
    }
    const turn = el("button", { type: "button", className: "plain", title: "Keep away from this instead", ariaLabel: "Keep away from this" }, "−");
    turn.onclick = () => {
      const away = { file: this.file, kind: this.kind, name };
      this.forget();
      this.less(away);
    };
    this.chip(name, choice, turn);
    return this.search();
  }

  // Keep away from a moment ({item, name}) or from a file; of files from the last one alone.
  less(away) {
    const kept = this.away.filter((other) => (away.file ? !other.file : other.item !== away.item));
    this.away = [...kept, away];
    this.showAway();
    this.search();
  }

  // What is kept away from, beside words.
  get awayFile() {
    return this.away.find((away) => away.file);
  }

  get awayItems() {
    return this.away.filter((away) => !away.file).map(({ item }) => ({ item }));
  }

  showAway() {
    $("minus").hidden = !this.away.length;
    $("minus").replaceChildren(...this.away.map((away) => {
      const close = el("button", { type: "button", className: "plain", ariaLabel: "Remove" }, "×");
      close.onclick = () => {
        this.away = this.away.filter((other) => other !== away);
        this.showAway();
        this.search();
      };
      return el("span", { className: "chip away", title: `keep away from ${away.name}` }, el("span", { className: "name" }, `− ${away.name}`), close);
    }));
  }

  like(moment) {
    this.forget();
    $("text").value = "";
    this.item = moment.id;
    this.chip(`like ${moment.name}`, null);
  }

  forget() {
    this.file = this.item = null;
    this.kind = "";
    $("chip").hidden = true;
  }

  chip(name, choice, turn = null) {
    const close = el("button", { type: "button", className: "plain", ariaLabel: "Remove" }, "×");
    close.onclick = () => {
      this.forget();
      $("text").focus();
      this.search();
    };
    $("chip").replaceChildren(el("span", { className: "name", title: name }, name), ...[choice, turn, close].filter(Boolean));
    $("chip").hidden = false;
  }

  async listen() {
    const button = $("listen");
    if (this.recorder) return this.recorder.stop();
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch {
      return this.complain("The microphone cannot be used: the browser or the system does not allow it.");
    }
    const parts = [];
    const recorder = (this.recorder = new MediaRecorder(stream));
    const end = setTimeout(() => recorder.state === "recording" && recorder.stop(), RECORD_SECONDS * 1000);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      clearTimeout(end);
      stream.getTracks().forEach((track) => track.stop());
      button.classList.remove("live");
      this.recorder = null;
      this.attach(new Blob(parts, { type: "audio/webm" }), "audio", "what you heard");
    };
    button.classList.add("live");
    recorder.start();
    return undefined;
  }

  acceptDrops() {
    let depth = 0;
    const show = (change) => {
      depth = Math.max(0, depth + change);
      $("drop").hidden = depth === 0;
    };
    addEventListener("dragenter", (event) => event.dataTransfer?.types.includes("Files") && show(1));
    addEventListener("dragleave", (event) => event.dataTransfer?.types.includes("Files") && show(-1));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      show(-depth);
      const file = event.dataTransfer.files[0];
      if (file) this.attach(file);
    });
    addEventListener("paste", (event) => {
      const file = event.clipboardData?.files[0];
      if (file) this.attach(file);
    });
  }
}
