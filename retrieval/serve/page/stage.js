// The player: begins at the right second, marks the moment on the timeline, lights the words that are said in it.
import { $, clock, el, marked, within } from "./dom.js";
import { HeatMap } from "./heat.js";

const REPEAT_MARGIN = 0.03;

export class Stage {
  // actions: like(moment), less(moment), within(moment), heats(): which heat maps there can be, as {own, asked} -> label or "",
  // heat(which, moment) -> promise of a map
  constructor(actions) {
    this.actions = actions;
    this.moment = null;
    this.repeat = true;
    this.video = el("video", { playsInline: true, preload: "auto", tabIndex: -1 });
    this.picture = el("img", { alt: "", hidden: true });
    this.over = el("canvas", { className: "heat", hidden: true, ariaHidden: "true" });
    this.map = new HeatMap(this.over, this.video);
    this.big = el("button", { type: "button", className: "big", title: "Play (space)", ariaLabel: "Play" }, "▶");
    this.note = el("p", { className: "note", hidden: true });
    this.where = el("div", { className: "where", hidden: true, role: "img", ariaLabel: "Where what you asked for is" });
    this.boxed = true;
    this.frame = el("div", { className: "frame" }, this.video, this.picture, this.over, this.where, this.big, this.note);
    this.head = el("span", { className: "head" });
    this.span = el("span", { className: "span" });
    this.ticks = el("span", { className: "ticks" });
    this.line = el("div", { className: "line", tabIndex: 0, role: "slider", ariaLabel: "Time", ariaValueMin: "0" }, this.span, this.ticks, this.head);
    this.time = el("span", { className: "time" });
    this.title = el("h2");
    this.chips = el("p", { className: "chips" });
    this.said = el("p", { className: "words" });
    this.loop = this.button("repeat", "Repeat the moment (l)", () => this.toggleRepeat());
    this.heats = {
      own: this.button("where is the sound", "Heat map: where this recording's own sound is (h)", () => this.toggleHeat("own")),
      asked: this.button("", "Heat map: where what you asked for is (w)", () => this.toggleHeat("asked")),
    };
    const more = this.button("more like this", "Find moments like this one (m)", () => actions.like(this.moment));
    const less = this.button("less like this", "Keep away from moments like this one (n)", () => actions.less(this.moment));
    this.box = this.button("box", "Box: where what you asked for is (b)", () => this.toggleBox());
    const only = this.button("only this recording", "Look in this recording only", () => actions.within(this.moment));
    const tools = el("div", { className: "tools" }, this.loop, this.heats.own, this.heats.asked, this.box, more, less, only);
    const under = el("div", { className: "under" }, this.line, this.time);
    $("stage").replaceChildren(el("div", { className: "pin" }, this.frame, under), this.title, tools, this.said, this.chips);
    this.listen();
  }

  button(text, title, act) {
    const made = el("button", { type: "button", title }, text);
    made.onclick = act;
    return made;
  }

  listen() {
    const { video } = this;
    this.big.onclick = video.onclick = () => this.toggle();
    video.onplay = video.onpause = () => this.big.classList.toggle("playing", !video.paused);
    video.onloadedmetadata = () => {
      if (video.videoWidth) this.frame.style.setProperty("--ratio", video.videoWidth / video.videoHeight);
      this.frame.classList.toggle("deaf", !video.videoWidth);
      video.currentTime = this.moment.peak;
      this.draw();
    };
    video.onseeked = () => this.tick();
    video.onerror = () => {
      if (!video.getAttribute("src")) return;
      const { type, name } = this.moment;
      this.tell(type === "" ? `${name} is of a kind that is not served.` : `${name} cannot be played here: it is not where it was, or this browser does not know its format.`);
    };
    const follow = () => {
      this.tick();
      requestAnimationFrame(follow);
    };
    requestAnimationFrame(follow);
    const seek = (event) => {
      const box = this.line.getBoundingClientRect();
      this.go(this.duration * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
    };
    this.line.onpointerdown = (event) => {
      this.line.setPointerCapture(event.pointerId);
      this.line.onpointermove = seek;
      seek(event);
    };
    this.line.onpointerup = this.line.onpointercancel = () => (this.line.onpointermove = null);
  }

  get duration() {
    return Number.isFinite(this.video.duration) ? this.video.duration : Math.max(this.moment?.end ?? 0, 0.1);
  }

  show(moment, asked, play) {
    const same = this.moment?.recording === moment.recording && this.video.getAttribute("src");
    this.moment = moment;
    this.asked = asked;
    this.map.hide();
    const labels = this.actions.heats(moment);
    for (const [which, button] of Object.entries(this.heats)) {
      button.ariaPressed = "false";
      button.hidden = !labels[which];
      button.textContent = labels[which];
    }
    this.loop.ariaPressed = String(this.repeat);
    this.box.hidden = !moment.box;
    this.box.ariaPressed = String(this.boxed);
    for (const edge of ["left", "top", "right", "bottom"]) this.where.style.setProperty(`--${edge}`, moment.box?.[edge] ?? 0);
    this.tell("");
    $("stage").hidden = false;
    const still = moment.type.startsWith("image/");
    this.picture.hidden = !still;
    this.video.hidden = this.big.hidden = still;
    if (still) {
      this.video.removeAttribute("src");
      this.picture.src = moment.media;
    } else if (same) {
      this.video.currentTime = moment.peak;
    } else {
      this.video.src = moment.media;
    }
    this.title.replaceChildren(el("span", { className: "when" }, clock(moment.peak)), ` ${moment.name}`);
    this.title.title = moment.recording;
    this.chips.replaceChildren(...Object.entries(moment.columns).map(([name, value]) => {
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      return el("span", { className: "chip" }, `${name}: ${text}`);
    }));
    this.draw();
    if (play && !still) this.play();
  }

  draw() {
    const { moment, duration } = this;
    if (!moment) return;
    const part = (seconds) => `${100 * Math.max(0, Math.min(1, seconds / duration))}%`;
    this.span.style.setProperty("--from", part(moment.start));
    this.span.style.setProperty("--to", part(moment.end));
    this.line.ariaValueMax = duration.toFixed(1);
    this.phrases = moment.said.length ? moment.said : moment.narration ? [{ ...moment, text: moment.narration }] : [];
    this.ticks.replaceChildren(...this.phrases.map((phrase) => {
      const tick = el("i");
      tick.style.setProperty("--from", part(phrase.start));
      tick.style.setProperty("--to", part(phrase.end));
      return tick;
    }));
    this.said.replaceChildren(...this.phrases.flatMap((phrase) => {
      const lit = within(phrase, moment) ? "phrase lit" : "phrase";
      const made = el("button", { type: "button", className: lit, title: clock(phrase.start) }, ...marked(phrase.text, this.asked));
      made.onclick = () => this.go(phrase.start);
      phrase.shown = made;
      return [made, " "];
    }));
    if (!this.phrases.length) this.said.replaceChildren(el("i", {}, "nothing is said here"));
    this.tick();
  }

  tick() {
    const { video, moment } = this;
    if (!moment || $("stage").hidden) return;
    const now = video.currentTime;
    if (this.repeat && !video.paused && now >= moment.end - REPEAT_MARGIN && now < moment.end + 0.5 && moment.end > moment.start) {
      video.currentTime = moment.start;
    } else if (this.repeat && video.ended) {
      video.currentTime = moment.start;
      this.play();
    }
    this.head.style.setProperty("--at", `${100 * Math.min(1, now / this.duration)}%`);
    this.time.textContent = `${clock(now)} / ${clock(this.duration)}`;
    this.line.ariaValueNow = now.toFixed(1);
    for (const phrase of this.phrases ?? []) phrase.shown?.classList.toggle("now", now >= phrase.start && now < phrase.end && !video.paused);
    this.map.paint();
    this.showBox(now);
  }

  // The box is of one window: it is shown in that window's seconds, and on a picture always.
  showBox(now) {
    const { box, type } = this.moment;
    const then = box && (type.startsWith("image/") || (now >= box.start - REPEAT_MARGIN && now <= box.end));
    this.where.hidden = !(this.boxed && then && !type.startsWith("audio/"));
  }

  toggleBox() {
    if (!this.moment?.box) return;
    this.boxed = !this.boxed;
    this.box.ariaPressed = String(this.boxed);
    this.tick();
  }

  go(seconds) {
    this.video.currentTime = Math.max(0, Math.min(this.duration, seconds));
  }

  // A browser may refuse sound before a person has touched the page; the moment then waits for a click.
  play() {
    this.video.play().catch(() => {});
  }

  toggle() {
    if (this.video.paused) this.play();
    else this.video.pause();
  }

  toggleRepeat() {
    this.repeat = !this.repeat;
    this.loop.ariaPressed = String(this.repeat);
  }

  async toggleHeat(which) {
    const button = this.heats[which];
    if (!this.moment || button.hidden) return;
    const off = button.ariaPressed === "true";
    this.map.hide();
    this.tell("");
    for (const other of Object.values(this.heats)) other.ariaPressed = "false";
    if (off) return;
    const asked = this.moment;
    button.ariaBusy = "true";
    try {
      const map = await this.actions.heat(which, asked);
      if (this.moment !== asked) return;
      this.map.show(map);
      button.ariaPressed = "true";
      this.tell(this.map.lit ? "" : "dark: nothing in this moment is above the threshold");
    } catch (error) {
      if (this.moment === asked) this.tell(error.message);
    } finally {
      button.ariaBusy = "false";
    }
  }

  tell(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
  }
}
