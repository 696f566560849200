// What happens when: search, choose, keys, theme, and what to say when something is wrong.
import { Gone, Locked, ask, unlock, upload } from "./api.js";
import { Ask } from "./ask.js";
import { $, signed, wordsOf } from "./dom.js";
import { Results } from "./results.js";
import { Stage } from "./stage.js";

const TOP = 20;
const THEMES = ["", "dark", "light"];
let box;
let stage;
let info;
let shown = { words: new Set(), file: null, text: "" };
let running = new AbortController();
const results = new Results(choose);

async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", "/");
    await unlock(token);
  }
  info = await ask("/api/info");
  $("store").textContent = info.name;
  document.title = `${info.name}: find the moment`;
  $("held").textContent = `${info.moments.toLocaleString("en")} vectors`;
  stage = new Stage({ like, less, within, heats, heat });
  box = new Ask(info, search, complain);
  if (!info.moments) {
    $("filters").hidden = true;
    $("text").disabled = true;
    return say("This store holds nothing yet. Add recordings to it, then look again.");
  }
  restore();
  return search();
}

// Find what the box asks for; with nothing in it, show some of what there is.
async function search(skip = 0) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const question = box.question();
  const written = $("text").value.trim();
  const { text, minus } = signed(written);
  document.body.classList.add("busy");
  const began = performance.now();
  try {
    let answer;
    const words = info.kinds.includes("text") ? text : "";
    const away = [...(info.kinds.includes("text") ? minus.map((one) => ({ text: one })) : []), ...box.awayItems];
    const asked = { ...question, top: TOP, ...(words && { text: words }), ...(box.item !== null && { item: box.item }), minus: away };
    if (!words && box.item === null && !box.file) {
      // With a minus alone there is nothing to look for yet: what is there is shown until there is.
      return await browse(question, skip, signal, away.length > 0 || Boolean(box.awayFile));
    }
    if (box.file || box.awayFile) {
      const files = { file: box.file, kind: box.kind, minus: box.awayFile };
      answer = await ask("/api/search/upload", { form: upload(files, asked), signal });
    } else {
      answer = await ask("/api/search", { json: asked, signal });
    }
    remember(written);
    shown = { words: wordsOf(text), file: box.kind === "audio" ? box.file : null, text };
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const count = answer.moments.length;
    say(count ? `${count} ${count === 1 ? "moment" : "moments"}, best first, in ${seconds} s` : "Nothing found. Try fewer filters.", answer.behind);
    present(answer.moments);
  } catch (error) {
    if (error.name !== "AbortError") {
      if (!skip) {
        present([]); // what was found before is no answer to this
        say("");
      }
      trouble(error, () => search(skip));
    }
  } finally {
    if (running.signal === signal) document.body.classList.remove("busy");
  }
  return undefined;
}

async function browse({ among, filters }, skip, signal, only) {
  const filtered = Object.keys(filters.columns).length || filters.said || filters.recording;
  const asked = new URLSearchParams({ among, filters: JSON.stringify(filters), limit: TOP, offset: skip, even: String(!filtered) });
  const { total, moments } = await ask(`/api/items?${asked}`, { signal });
  remember("");
  shown = { words: wordsOf(filters.said ?? ""), file: null, text: "" };
  const all = skip ? [...results.moments, ...moments] : moments;
  if (only) say("Say what to look for, too: what is kept away from is only taken off that.");
  else say(total ? (filtered ? `${total} moments` : `Some of ${total.toLocaleString("en")} moments`) : "Nothing is left with these filters.");
  if (skip) results.show(all, shown.words, skip);
  else present(moments);
  $("more").hidden = !filtered || all.length >= total;
  $("more").onclick = () => search(all.length);
}

function present(moments) {
  clear();
  $("more").hidden = true;
  results.show(moments, shown.words);
  if (moments.length) choose(0, false);
  else {
    stage.video.pause();
    $("stage").hidden = true;
  }
}

function choose(place, play) {
  const moment = results.moments[place];
  if (!moment) return;
  results.select(place, play);
  stage.show(moment, shown.words, play);
}

function like(moment) {
  box.like(moment);
  search();
  scrollTo({ top: 0, behavior: "smooth" });
}

function less(moment) {
  box.less({ item: moment.id, name: moment.name });
}

function within(moment) {
  box.within(moment.recording);
  search();
}

// Which heat maps the network can make of a moment, by the names of their buttons.
function heats(moment) {
  const seen = moment.type.startsWith("video/");
  const own = seen && info.localizes.includes("audio") ? "where is the sound" : "";
  let asked = "";
  if (shown.file && info.localizes.includes("audio") && !moment.type.startsWith("audio/")) asked = "where is your sound";
  if (shown.text && info.localizes.includes("text") && !moment.type.startsWith("audio/")) asked = `where is “${shown.text}”`;
  return { own, asked };
}

function heat(which, moment) {
  const path = `/api/items/${moment.id}/heat`;
  const span = { start: moment.start, end: moment.end };
  if (which === "own") return ask(path, { json: span });
  if (shown.text) return ask(path, { json: { ...span, text: shown.text } });
  return ask(path, { form: upload({ file: shown.file, kind: "audio" }, span) });
}

function say(text, behind = "") {
  $("status").textContent = behind ? `${text} (newer rows are not searched yet: ${behind})` : text;
}

function complain(text) {
  $("trouble").hidden = false;
  $("trouble").querySelector("span").textContent = text;
  $("trouble").querySelector("button").hidden = true;
}

function clear() {
  $("trouble").hidden = true;
}

function trouble(error, again) {
  if (error instanceof Locked) return $("door").showModal();
  complain(error.message);
  const button = $("trouble").querySelector("button");
  button.hidden = !(error instanceof Gone);
  button.onclick = () => {
    clear();
    again();
  };
  return undefined;
}

// The address holds the words, so that a search can be kept and the back button works.
function remember(text) {
  const wanted = text && !box.file && box.item === null ? `?${new URLSearchParams({ text })}` : "/";
  const now = location.search || "/";
  if (wanted !== now) history.pushState(null, "", wanted);
}

function restore() {
  $("text").value = new URLSearchParams(location.search).get("text") ?? "";
}

function theme(next) {
  const at = Math.max(0, THEMES.indexOf(localStorage.getItem("theme") ?? ""));
  const chosen = THEMES[(at + (next ? 1 : 0)) % THEMES.length];
  localStorage.setItem("theme", chosen);
  document.documentElement.dataset.theme = chosen;
  $("theme").title = `${chosen || "as the system"} (t)`;
}

const KEYS = {
  "/": () => ($("text").focus(), $("text").select()),
  ArrowDown: () => choose(results.place + 1, true),
  ArrowUp: () => choose(results.place - 1, true),
  j: () => choose(results.place + 1, true),
  k: () => choose(results.place - 1, true),
  " ": () => stage.toggle(),
  ArrowLeft: () => stage.go(stage.video.currentTime - 1),
  ArrowRight: () => stage.go(stage.video.currentTime + 1),
  l: () => stage.toggleRepeat(),
  h: () => stage.toggleHeat("own"),
  w: () => stage.toggleHeat("asked"),
  m: () => stage.moment && like(stage.moment),
  n: () => stage.moment && less(stage.moment),
  b: () => stage.toggleBox(),
  t: () => theme(true),
  "?": () => $("help").showModal(),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing && !(event.target === $("text") && event.key === "ArrowDown")) return undefined;
  if (event.key === " " && event.target.matches("button:not(.card), input[type=checkbox]")) return undefined;
  if (event.key.startsWith("Arrow") && event.target.matches("input[type=radio]")) return undefined;
  const act = KEYS[event.key];
  if (!act || !stage) return undefined;
  event.preventDefault();
  if (typing) event.target.blur();
  return act();
});

addEventListener("popstate", () => {
  box.forget();
  box.away = [];
  box.showAway();
  restore();
  search();
});
$("theme").onclick = () => theme(true);
$("keys").onclick = () => $("help").showModal();
$("token-form").onsubmit = async (event) => {
  event.preventDefault();
  try {
    if (!(await unlock($("token").value.trim()))) return ($("token-wrong").hidden = false);
    $("door").close();
    return begin();
  } catch (error) {
    return trouble(error, begin);
  }
};

function begin() {
  return start().catch((error) => trouble(error, begin));
}

theme(false);
begin();
