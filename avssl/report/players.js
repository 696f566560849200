"use strict";
// Controls lie over the picture, and over most of a small one: they are there while somebody points at it or goes to it.
for (const video of document.querySelectorAll("figure video[controls]")) {
  let over = false;
  let at = false;
  const settle = () => { video.controls = over || at || !video.paused; };
  video.tabIndex = 0;
  video.addEventListener("pointerenter", () => { over = true; settle(); });
  video.addEventListener("pointerleave", () => { over = false; settle(); });
  video.addEventListener("focus", () => { at = true; settle(); });
  video.addEventListener("blur", () => { at = false; settle(); });
  // one at a time
  video.addEventListener("play", () => {
    for (const other of document.querySelectorAll("video, audio")) if (other !== video) other.pause();
    settle();
  });
  video.addEventListener("pause", settle);
  settle();
}
