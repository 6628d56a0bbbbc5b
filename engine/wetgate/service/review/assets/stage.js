// The picture: one view, or the scan left of the wipe and the result right of it.

const BOX = "#ffd166";
const ROOM = 6;

export class Stage {
  constructor() {
    this.stage = document.getElementById("stage");
    this.sheet = document.getElementById("sheet");
    this.canvas = document.getElementById("picture");
    this.cut = document.getElementById("cut");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.scene = null;
    this.actual = false;
    this.cut.addEventListener("input", () => this.draw());
    new ResizeObserver(() => this.place()).observe(this.stage);
  }

  // Px to ask for: those of the screen, in steps, so that a small change of size asks for nothing.
  width(frameWidth) {
    if (this.actual) return Math.min(4096, frameWidth || 4096);
    const wanted = this.stage.clientWidth * window.devicePixelRatio;
    return Math.max(320, Math.min(2560, Math.ceil(wanted / 160) * 160));
  }

  // scene: { left, right, box, label }; left only for a wipe; box in px of the frame.
  show(scene) {
    this.scene = scene;
    this.draw();
  }

  setActual(actual) {
    this.actual = actual;
    this.stage.classList.toggle("actual", actual);
    this.place();
  }

  draw() {
    if (!this.scene) return;
    const { left, right, box, label } = this.scene;
    const { bitmap, facts } = right;
    const { canvas, context } = this;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    context.drawImage(bitmap, 0, 0);
    this.cut.hidden = !left;
    if (left) {
      const x = Math.round(this.cut.value / 1000 * canvas.width);
      context.save();
      context.beginPath();
      context.rect(0, 0, x, canvas.height);
      context.clip();
      context.drawImage(left.bitmap, 0, 0, canvas.width, canvas.height);
      context.restore();
      context.fillStyle = "#fff";
      context.fillRect(x - this.line() / 2, 0, this.line(), canvas.height);
    }
    if (box) this.mark(box, canvas.width / facts.width, canvas.height / facts.height);
    canvas.setAttribute("aria-label", label);
    this.place();
  }

  // Corners around a fix, so that the mark hides nothing of it.
  mark([x0, y0, x1, y1], across, down) {
    const { context } = this;
    const line = this.line();
    const room = ROOM * line;
    const [a, b, c, d] = [x0 * across - room, y0 * down - room, x1 * across + room, y1 * down + room];
    const arm = Math.min(12 * line, (c - a) / 2, (d - b) / 2);
    context.beginPath();
    for (const [x, y, dx, dy] of [[a, b, 1, 1], [c, b, -1, 1], [a, d, 1, -1], [c, d, -1, -1]]) {
      context.moveTo(x + dx * arm, y);
      context.lineTo(x, y);
      context.lineTo(x, y + dy * arm);
    }
    context.lineWidth = 3.5 * line;
    context.strokeStyle = "rgba(0,0,0,.65)";
    context.stroke();
    context.lineWidth = 1.75 * line;
    context.strokeStyle = BOX;
    context.stroke();
  }

  // One screen px in px of the canvas.
  line() {
    const shown = this.area();
    return shown.width ? this.canvas.width / shown.width : 1;
  }

  // Where the picture is on the sheet, in CSS px.
  area() {
    const { canvas, sheet } = this;
    if (this.actual) {
      return { left: canvas.offsetLeft, top: canvas.offsetTop, width: canvas.clientWidth, height: canvas.clientHeight };
    }
    const factor = Math.min(sheet.clientWidth / canvas.width, sheet.clientHeight / canvas.height);
    const [width, height] = [canvas.width * factor, canvas.height * factor];
    return { left: (sheet.clientWidth - width) / 2, top: (sheet.clientHeight - height) / 2, width, height };
  }

  place() {
    if (this.actual) {
      const ratio = window.devicePixelRatio;
      this.canvas.style.width = this.canvas.width / ratio + "px";
      this.canvas.style.height = this.canvas.height / ratio + "px";
    } else {
      this.canvas.style.width = this.canvas.style.height = "";
    }
    const { left, top, width, height } = this.area();
    for (const [name, value] of Object.entries({ left, top, width, height })) {
      this.cut.style[name] = value + "px";
    }
  }

  // Bring the middle of a box into sight where the picture is larger than the stage.
  reveal(box) {
    if (!this.actual || !box) return;
    const ratio = window.devicePixelRatio;
    this.sheet.scrollTo({
      left: (box[0] + box[2]) / 2 / ratio - this.sheet.clientWidth / 2,
      top: (box[1] + box[3]) / 2 / ratio - this.sheet.clientHeight / 2,
    });
  }
}
