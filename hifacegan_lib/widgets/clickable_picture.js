function render({ model, el }) {
  const image = document.createElement("img");
  image.tabIndex = 0;
  image.style.cssText = "display:block; cursor:crosshair; image-rendering:pixelated";
  const draw = () => {
    image.src = model.get("source");
    image.alt = model.get("label");
    image.title = model.get("label") + ": click a pixel, or move the ring with the arrow keys";
  };
  const choose = (row, column) => {
    const [rows, columns] = model.get("shape");
    const inside = (value, end) => Math.min(Math.max(Math.floor(value), 0), end - 1);
    model.set("place", [inside(row, rows), inside(column, columns)]);
    model.save_changes();
  };
  image.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const [rows, columns] = model.get("shape");
    choose(((event.clientY - box.top) / box.height) * rows, ((event.clientX - box.left) / box.width) * columns);
    image.focus();
  });
  image.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const [row, column] = model.get("place");
    choose(row + step[0], column + step[1]);
  });
  model.on("change:source", draw);
  draw();
  el.appendChild(image);
}
export default { render };
