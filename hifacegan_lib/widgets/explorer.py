"""The degradation explorer of notebook 02: sample damage from a recipe, or set each operation by hand.

The state of the explorer is its list of steps. A recipe and a seed fill the list; then each step can be changed by
hand:

    recipe, seed -> steps -> trace -> clean, degraded, difference, numbers, charts

The explorer only changes the values of its widgets and prints nothing, so no output grows while a slider moves.
"""

import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets

from hifacegan_lib.degradations.operations import MAX_SEED, OPERATIONS, Names, Range, Value
from hifacegan_lib.degradations.recipes import Recipe, Step, Trace, load_recipe, recipe_names
from hifacegan_lib.reports import face_views, plots
from hifacegan_lib.utils.images import Pixels, center_square, load_image, resize
from hifacegan_lib.widgets.custom_recipe import BY_HAND, SAVED, default_step, fixed_recipe, save_recipe
from hifacegan_lib.widgets.panels import Panel, hbox, read_upload, title, upload_button, vbox

UNFOLD_UP_TO = 10  # numbers: the steps of larger draws are folded at first
DRAWS = 32  # faces in the contact sheet
_ROW_BUTTONS = {"up": "chevron-up", "down": "chevron-down", "remove": "times"}


class StepRow(ipywidgets.VBox):
    """The controls of one operation: switch, numbers, position. The numbers get controls at the first unfolding."""

    def __init__(self, step: Step, changed: Callable[[], None], act: Callable[["StepRow", str], None]) -> None:
        self.op, self.values, self._changed, self._filling = step.op, dict(step.values), changed, False
        self.controls: dict[str, Any] = {}
        self.on = ipywidgets.Checkbox(True, indent=False, tooltip="apply this step")
        self.words = ipywidgets.Button(tooltip="show or hide its numbers").add_class("dx-words")
        self.buttons = {name: ipywidgets.Button(icon=icon, tooltip=name) for name, icon in _ROW_BUTTONS.items()}
        self.numbers = vbox("dx-numbers")
        self.head = hbox("dx-row", self.on, self.words, *self.buttons.values())
        super().__init__([self.head], _dom_classes=("dx-step",))
        self.on.observe(self._switch, "value")
        self.words.on_click(lambda _: self.unfold(self.numbers not in self.children))
        for name, button in self.buttons.items():
            button.add_class("dx-act").on_click(lambda _, name=name: act(self, name))

    @property
    def step(self) -> Step:
        return Trace.of(BY_HAND, {"op": self.op, **self.values}).operations[0]

    def fill(self, step: Step) -> None:
        """Take the step's numbers and switch the row on, without a call of ``changed``."""
        self._filling, self.values = True, dict(step.values)
        self.on.value = True
        for name, control in self.controls.items():
            control.value = self.values[name]
        self._filling = False
        self.words.description = str(step)

    def unfold(self, unfolded: bool) -> None:
        """Show or hide the numbers."""
        if unfolded and not self.controls:
            for name, kind in OPERATIONS[self.op].parameters.items():
                self.controls[name] = _control(name, kind, self.values[name])
                self.controls[name].observe(lambda change, name=name: self._take(name, change["new"]), "value")
            self.numbers.children = list(self.controls.values())
        self.children = [self.head, self.numbers] if unfolded else [self.head]
        self.words.icon = "caret-down" if unfolded else "caret-right"

    def _take(self, name: str, value: Any) -> None:
        step = getattr(self.controls[name], "step", None)
        rounded = isinstance(step, float) and abs(value - self.values[name]) <= 0.501 * step
        if not (self._filling or rounded):  # a browser rounds a value to its slider's steps and reports the change
            self.values[name] = round(value, 6) if isinstance(value, float) else value
            self.words.description = str(self.step)
            self._changed()

    def _switch(self, _change: Any) -> None:
        (self.remove_class if self.on.value else self.add_class)("dx-off")
        if not self._filling:
            self._changed()


class DegradationExplorer(Panel):
    """Face, recipe, seed and steps on the left; images, numbers and charts on the right.

    The buttons copy its ``trace`` and its recipe, ``current_recipe()``.

    Args:
        faces: at least one image, uint8 H x W x 3.
        recipes: names of shipped recipes or JSON files; the first is shown at first. Empty: all shipped recipes.
        save_to: the project's root, below which ``params/recipes/<name>.json`` is written; None: no saving.
    Raises:
        ValueError: no face.
    """

    def __init__(self, faces: Sequence[Pixels], recipes: Sequence[str] = (), save_to: str | Path | None = None) -> None:
        if not len(faces):
            raise ValueError("the explorer needs at least one face")
        self.faces, self.save_to = list(faces), save_to
        self.rows: list[StepRow] = []
        self._pool: list[StepRow] = []
        self.drawn: Any = None  # the trace of the recipe and the seed
        left, self.right = self._left([str(recipe) for recipe in recipes or recipe_names()]), self._right()
        super().__init__([hbox("dx-body", left, self.right)])
        self._observe()
        self._try(self._draw, True)

    def _left(self, recipes: Sequence[str]) -> ipywidgets.VBox:
        self.face = ipywidgets.IntSlider(0, 0, len(self.faces) - 1, description="face")
        self.upload = upload_button()
        options = [(Path(name).stem, name) for name in recipes]
        self.recipe = ipywidgets.Dropdown(options=options, description="recipe")
        self.seed = ipywidgets.IntSlider(0, 0, 99, description="seed")
        self.reset = ipywidgets.Button(description="back to the draw", disabled=True)
        self.steps = vbox("dx-steps")
        self.operation = ipywidgets.Dropdown(options=[(op.replace("_", " "), op) for op in OPERATIONS])
        self.add = ipywidgets.Button(description="add")
        draw = [hbox("dx-head", title("draw"), self.upload), self.face, self.recipe, self.seed]
        steps = [hbox("dx-head", title("steps"), self.reset), self.steps, hbox("dx-add", self.operation, self.add)]
        return vbox("dx-left", *draw, *steps)

    def _right(self) -> ipywidgets.VBox:
        self.zoom = ipywidgets.ToggleButtons(options=[(f"{n}×", n) for n in (1, 2, 4, 8, 16)]).add_class("dx-zoom")
        self.across, self.down = (
            ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.01, description=name, readout=False)
            for name in ("across", "down")
        )
        titles = {"clean": "clean", "degraded": "degraded", "difference": "difference, grey is unchanged"}
        self.pictures = {name: ipywidgets.Image(format="png") for name in titles}
        self.error, self.message, self.histogram, self.spectrum, self.note = (ipywidgets.HTML() for _ in range(5))
        self.copy_recipe, self.copy_trace, self.sheet_words = (ipywidgets.HTML() for _ in range(3))
        self.name = ipywidgets.Text(placeholder="name of the recipe", layout={"width": "150px"})
        self.save = ipywidgets.Button(description="save to params")
        self.sheet, self.draws = ipywidgets.ToggleButton(description="contact sheet"), ipywidgets.Image(format="png")
        self.contact = vbox("dx-sheet", self.sheet_words, self.draws)
        columns = [vbox("dx-picture", title(titles[name]), picture) for name, picture in self.pictures.items()]
        save = [self.name, self.save] if self.save_to is not None else []
        return vbox(
            "dx-right",
            self.error,
            hbox("dx-bar", self.zoom, self.across, self.down),
            hbox("dx-pictures", *columns),
            self.message,
            hbox("dx-charts", self.histogram, self.spectrum),
            hbox("dx-buttons", self.copy_recipe, self.copy_trace, *save, self.sheet),
            self.note,
        )

    def _observe(self) -> None:
        for control in (self.recipe, self.seed):
            control.observe(lambda _: self._try(self._draw, True), "value")
        for control in (self.zoom, self.across, self.down):
            control.observe(lambda _: self._try(self._show_crop), "value")
        self.face.observe(lambda _: self._try(self._look, True), "value")
        self.upload.observe(lambda _: self._try(self._take_photo), "value")
        self.sheet.observe(lambda _: self._try(self._show_sheet), "value")
        self.reset.on_click(lambda _: self._try(self._draw, True))
        self.add.on_click(lambda _: self._try(self._append, True))
        self.save.on_click(lambda _: self._try(self._save))

    def _try(self, action: Callable[[], None], redraws: bool = False) -> None:
        def whole() -> None:
            if self.drawn is None and action != self._draw:
                self._draw()  # raises its error again
            action()

        self.note.value = ""
        fine = self.attempt(whole)
        if redraws:  # after an error the images do not match the controls
            (self.right.remove_class if fine else self.right.add_class)("dx-stale")

    # steps

    @property
    def trace(self) -> Trace:
        """The trace of the current steps, with the face's own pixel grid."""
        steps = tuple(row.step for row in self.rows if row.on.value)
        side = min(self.faces[self.face.value].shape[:2])
        return Trace.of(self.drawn.recipe if steps == self.drawn.operations else BY_HAND, *steps, grid=side)

    def current_recipe(self, name: str = "") -> Recipe:
        """The chosen recipe, or a recipe with the numbers of the steps if a step was changed."""
        trace = self.trace
        if trace.recipe == BY_HAND:
            return fixed_recipe(trace, name or BY_HAND)
        return self.base.model_copy(update={"name": name}) if name else self.base

    def _draw(self) -> None:
        """Fill the steps with a sample of the recipe; the steps of a new recipe are unfolded if they are few."""
        self.drawn = None
        base = load_recipe(self.recipe.value)
        new, self.base = base != getattr(self, "base", None), base
        self.drawn = base.sample(self.seed.value)
        few = sum(len(step.values) for step in self.drawn.operations) <= UNFOLD_UP_TO
        rows: list[StepRow] = []
        for step in self.drawn.operations:
            rows.append(self._step_row(step, rows, few))
        for row in rows if new else ():
            row.unfold(few)
        self._place(rows)

    def _step_row(self, step: Step, taken: Sequence[StepRow], unfolded: bool) -> StepRow:
        """A row for this step; unused rows are reused, since new rows take time."""
        row = next((row for row in self._pool if row.op == step.op and row not in taken), None)
        if row is None:
            row = StepRow(step, lambda: self._try(self._look, True), self._edit)
            row.unfold(unfolded)
            self._pool.append(row)
        row.fill(step)
        return row

    def _append(self) -> None:
        row = self._step_row(default_step(self.operation.value), self.rows, True)
        row.unfold(True)
        self._place([*self.rows, row])

    def _edit(self, row: StepRow, what: str) -> None:
        rows = [other for other in self.rows if other is not row]
        if what != "remove":
            rows.insert(max(0, self.rows.index(row) + (1 if what == "down" else -1)), row)
        self._try(lambda: self._place(rows), True)

    def _place(self, rows: Sequence[StepRow]) -> None:
        if rows != self.rows:
            self.rows, self.steps.children = list(rows), list(rows)
        self._look()

    # pictures

    def _look(self) -> None:
        """Apply the trace and show images, quality and charts."""
        clean, trace = self.faces[self.face.value], self.trace
        degraded = trace.apply(clean)
        self.shown = (clean, degraded, plots.difference(clean, degraded))
        self._show_crop()
        self.reset.disabled = trace.recipe != BY_HAND
        self.message.value = face_views.quality(clean, degraded, f"{trace.recipe}: {trace.describe()}")
        self.histogram.value = face_views.histogram_svg(clean, degraded)
        self.spectrum.value = face_views.spectrum_svg(clean, degraded)
        self.copy_recipe.value = face_views.copy_button("copy recipe", self.current_recipe().to_json())
        self.copy_trace.value = face_views.copy_button("copy trace", trace.to_json())

    def _show_crop(self) -> None:
        """Show the same crop of the three images."""
        self.across.disabled = self.down.disabled = self.zoom.value == 1
        rows, columns = face_views.crop(self.shown[0].shape, self.zoom.value, self.across.value, self.down.value)
        for picture, image in zip(self.pictures.values(), self.shown, strict=True):
            picture.value = face_views.png(face_views.fit(image[rows, columns], face_views.VIEW))

    def _show_sheet(self) -> None:
        self.right.children = [child for child in self.right.children if child is not self.contact]
        if self.sheet.value:
            recipe, face, first = self.current_recipe(), self.faces[self.face.value], self.seed.value
            traces = [recipe.sample(seed, grid=min(face.shape[:2])) for seed in range(first, first + DRAWS)]
            self.draws.value = face_views.png(face_views.sheet([trace.apply(face) for trace in traces]))
            words = f"{recipe.name}, seeds {first} to {first + DRAWS - 1}"
            self.sheet_words.value = f'<div class="dx-title">{html.escape(words)}</div>'
            self.right.children = [*self.right.children, self.contact]

    # files

    def _take_photo(self) -> None:
        """Add the centred square of an uploaded photograph, resized to the size of the other faces."""
        if self.upload.value:
            side = min(self.faces[0].shape[:2])
            self.faces.append(resize(center_square(read_upload(self.upload, load_image)), side, side))
            self.face.max = self.face.value = len(self.faces) - 1

    def _save(self) -> None:
        if not self.name.value.strip():
            raise ValueError("the recipe needs a name")
        path = save_recipe(self.current_recipe(self.name.value.strip()), self.save_to or ".")
        self.recipe.options = [*self.recipe.options, (path.stem, str(path))]
        self.note.value = f'<div class="dx-note">saved as {(SAVED / path.name).as_posix()}</div>'


def _control(name: str, kind: Range | Names, value: Value) -> Any:
    label = f"{name}, px" if kind.length else name
    if isinstance(kind, Names):
        return ipywidgets.Dropdown(options=kind.names, value=value, description=label)
    if kind.whole:
        control = ipywidgets.BoundedIntText if kind.high == MAX_SEED else ipywidgets.IntSlider
        return control(value, min=int(kind.low), max=int(kind.high), description=label)
    step = 10.0 ** math.floor(math.log10((kind.high - kind.low) / 200))
    low = round(math.ceil(kind.low / step) * step, 6)  # so that the slider's values are round numbers
    return ipywidgets.FloatSlider(value, min=low, max=kind.high, step=step, readout_format=".4", description=label)
