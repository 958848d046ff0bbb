// Tabs, and what happens when the page opens and when it is printed.

function tabs() {
  const links = [...document.querySelectorAll("nav a")];
  if (!links.length) return;
  const open = () => {
    const wanted = links.find((link) => link.hash === location.hash) || links[0];
    for (const link of links) {
      link.setAttribute("aria-selected", String(link === wanted));
      document.querySelector(link.hash).classList.toggle("closed", link !== wanted);
    }
    redraw();
  };
  addEventListener("hashchange", () => { open(); scrollTo(0, 0); });
  open();
}

studies.forEach(listen);
tabs();
requestAnimationFrame(() => setTimeout(start)); // after the first picture
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
addEventListener("beforeprint", () => {
  start();
  printing = true;
  root.classList.add("printing");
  document.querySelectorAll(".plot").forEach(draw);
});
addEventListener("afterprint", () => {
  printing = false;
  root.classList.remove("printing");
  redraw();
});
