function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "rx-divider";
  const before = document.createElement("img"), after = document.createElement("img");
  const edge = document.createElement("input");
  before.alt = "before";
  after.alt = "after";
  edge.type = "range"; edge.min = 0; edge.max = 100; edge.value = 50;
  edge.setAttribute("aria-label", "before and after");
  edge.dataset.lmSuppressShortcuts = "true";  // JupyterLab would take the arrows to fold headings
  const cut = () => {
    after.style.clipPath = `inset(0 0 0 ${edge.value}%)`;
    box.style.setProperty("--at", edge.value + "%");
  };
  const draw = () => { before.src = model.get("before"); after.src = model.get("after"); };
  edge.addEventListener("input", cut);
  model.on("change:before", draw);
  model.on("change:after", draw);
  box.append(before, after, edge);
  draw(); cut();
  el.appendChild(box);
}
export default { render };
