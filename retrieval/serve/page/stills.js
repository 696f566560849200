// Pictures of moments, drawn by the browser itself: a hidden player goes to the second, and lets the file go again.
// A browser keeps few connections to one host; players that stay open would leave none for the search.

const AT_ONCE = 2;
const PATIENCE = 12000; // milliseconds for one picture
const KEPT = 200;
const known = new Map(); // address@second -> canvas
const waiting = [];
let busy = 0;

// A canvas with the picture, or null where there is none (a sound, or a format that is not played here).
export function still(moment, signal) {
  const key = `${moment.media}@${moment.peak}`;
  if (known.has(key)) return Promise.resolve(known.get(key));
  return new Promise((resolve) => {
    waiting.push({ moment, signal, key, resolve });
    next();
  });
}

function next() {
  while (busy < AT_ONCE && waiting.length) {
    const { moment, signal, key, resolve } = waiting.shift();
    if (signal.aborted) {
      resolve(null);
      continue;
    }
    busy += 1;
    const draw = moment.type.startsWith("image/") ? drawImage : drawVideo;
    draw(moment, signal).then((canvas) => {
      busy -= 1;
      if (canvas) known.set(key, canvas);
      if (known.size > KEPT) known.delete(known.keys().next().value);
      resolve(canvas);
      next();
    });
  }
}

function copy(source, width, height) {
  if (!width || !height) return null;
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, 480 / width);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function drawImage(moment) {
  const image = new Image();
  image.src = moment.media;
  try {
    await image.decode();
  } catch {
    return null;
  }
  return copy(image, image.naturalWidth, image.naturalHeight);
}

function drawVideo(moment, signal) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  return new Promise((resolve) => {
    let done = false;
    const finish = (canvas) => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      video.removeAttribute("src");
      video.load();
      resolve(canvas);
    };
    const timer = setTimeout(() => finish(null), PATIENCE);
    signal.addEventListener("abort", () => finish(null), { once: true });
    video.onerror = () => finish(null);
    video.onloadedmetadata = () => {
      if (!video.videoWidth) return finish(null);
      // a little inside: at a frame's very beginning a player may stop at the one before
      const place = moment.peak + 0.03;
      video.currentTime = Math.max(0.001, Math.min(place, (video.duration || place) - 0.01));
      return undefined;
    };
    video.onseeked = () => finish(copy(video, video.videoWidth, video.videoHeight));
    // An address of its own: the browser's cache lets one request for an address wait for the other.
    video.src = `${moment.media}?still`;
  });
}
