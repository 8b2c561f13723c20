"use strict";
// Unpacks plotly.js and the figures, draws each at the larger printed width that fits, and again in the colours of the
// other theme. Nothing is fetched.
(() => {
  const LARGEST = 1.4; // how far a figure of 8 pt text is enlarged to fill the page

  async function unpack(id) {
    const packed = document.getElementById(id).textContent.trim();
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function say(words) {
    for (const canvas of document.querySelectorAll(".canvas")) {
      canvas.replaceChildren(Object.assign(document.createElement("p"), { textContent: words }));
    }
  }

  function choose(variants, room) {
    const fitting = variants.filter((v) => v.layout.width <= room + 1);
    return (fitting.length ? fitting : variants.slice(0, 1)).at(-1);
  }

  function draw(canvas, variants, colours, room) {
    const wanted = choose(variants, room);
    const scale = Math.min(room / wanted.layout.width, LARGEST);
    const key = [wanted.layout.width, scale.toFixed(3), Boolean(colours)].join();
    if (canvas.dataset.drawn === key) return;
    canvas.dataset.drawn = key;
    let text = JSON.stringify(wanted);
    for (const [light, dark] of Object.entries(colours ?? {})) text = text.replaceAll(light, dark);
    const figure = JSON.parse(text);
    canvas.parentElement.querySelector("figcaption span").textContent = figure.caption;
    const plot = document.createElement("div");
    plot.className = "plot";
    plot.style.width = `${figure.layout.width}px`;
    plot.style.height = `${figure.layout.height}px`;
    canvas.style.height = `${Math.ceil(figure.layout.height * scale)}px`;
    canvas.replaceChildren(plot);
    plot.style.transform = `scale(${scale})`;
    figure.layout.dragmode = false; // a finger on a figure scrolls the page
    Plotly.newPlot(plot, figure.data, figure.layout, { displayModeBar: false, doubleClick: false });
  }

  async function start() {
    if (!("DecompressionStream" in window)) {
      say("This browser is too old to unpack the figures (it lacks DecompressionStream). Every number is in the tables.");
      return;
    }
    const [code, text] = await Promise.all([unpack("plotly"), unpack("figures")]);
    document.head.append(Object.assign(document.createElement("script"), { textContent: code }));
    const { dark, figures } = JSON.parse(text);
    const night = matchMedia("(prefers-color-scheme: dark)");
    const drawAll = (printing) => {
      for (const canvas of document.querySelectorAll(".canvas")) {
        const room = printing ? Math.min(canvas.clientWidth, 662) : canvas.clientWidth;
        draw(canvas, figures[canvas.dataset.figure], night.matches && !printing ? dark : null, room);
      }
    };
    drawAll(false);
    night.addEventListener("change", () => drawAll(false));
    addEventListener("beforeprint", () => drawAll(true));
    addEventListener("afterprint", () => drawAll(false));
    let waiting;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => drawAll(false), 150);
    });
    document.documentElement.dataset.figures = "drawn";
  }

  start().catch((error) => {
    say(`The figures could not be drawn (${error.message}). Every number is in the tables.`);
    console.error(error);
  });
})();
