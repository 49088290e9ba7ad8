// Two copies of the picture lie side by side, a canvas over each: the heat, and the region over the threshold. Nothing
// is read back from a picture, so that a page opened from a disk works too. A scene's layers hold, for each method,
// [first byte, classes, rows, columns].
window.featlibHeatmaps = () => document.querySelectorAll("[data-kind=heatmaps]:not([data-drawn])").forEach(box => {
  box.setAttribute("data-drawn", "");
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const {size: [height, width], levels, blends, colours, scenes} =
    JSON.parse(box.querySelector("[data-maps]").textContent);
  const table = bytes(colours), figures = [...box.querySelectorAll("[data-state]")];
  const classes = box.querySelectorAll("[data-axis]")[3], reading = box.querySelector("[data-reading]");
  scenes.forEach(scene => { scene.bytes = bytes(scene.maps); scene.bits = scene.mask && bytes(scene.mask); });
  const onObject = (scene, at) => scene.bits[at >> 3] >> (7 - (at & 7)) & 1;
  const sources = (large, small) => Array.from({length: large}, (_, at) => {  // pixel centres, edges repeated
    const place = Math.max(0, (at + .5) * small / large - .5), low = Math.min(Math.floor(place), small - 1);
    return [low, Math.min(low + 1, small - 1), place - low];
  });
  const enlarged = (values, rows, columns) => {
    const heat = new Float32Array(height * width), across = sources(width, columns);
    sources(height, rows).forEach(([up, down, south], row) => across.forEach(([left, right, east], column) => {
      const top = values[up * columns + left] * (1 - east) + values[up * columns + right] * east;
      const bottom = values[down * columns + left] * (1 - east) + values[down * columns + right] * east;
      heat[row * width + column] = (top * (1 - south) + bottom * south) / 255;
    }));
    return heat;
  };
  const largest = inside => {  // tight box of the largest part, four neighbours each; ends excluded
    const seen = new Uint8Array(height * width);
    let best = null;
    for (let start = 0; start < seen.length; start++) {
      if (!inside[start] || seen[start]) continue;
      const part = {count: 0, top: height, left: width, bottom: 0, right: 0}, stack = [start];
      seen[start] = 1;
      while (stack.length) {
        const at = stack.pop(), row = Math.floor(at / width), column = at % width;
        part.count++;
        part.top = Math.min(part.top, row); part.bottom = Math.max(part.bottom, row + 1);
        part.left = Math.min(part.left, column); part.right = Math.max(part.right, column + 1);
        for (const [next, there] of [[at - width, row > 0], [at + width, row < height - 1], [at - 1, column > 0],
          [at + 1, column < width - 1]]) if (there && inside[next] && !seen[next]) { seen[next] = 1; stack.push(next); }
      }
      if (!best || part.count > best.count) best = part;
    }
    return best;
  };
  const overlap = (one, other) => {
    if (!one || !other) return 0;
    const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
    const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const area = box => (box.bottom - box.top) * (box.right - box.left), shared = Math.max(high, 0) * Math.max(wide, 0);
    return shared / (area(one) + area(other) - shared);
  };
  const canvases = index => {
    const figure = figures[index], image = figure.querySelector("img");
    if (!figure.querySelector("canvas")) {
      [image, image.cloneNode()].forEach((copy, which) => {
        const over = document.createElement("div"), canvas = document.createElement("canvas");
        over.setAttribute("data-over", "");
        Object.assign(canvas, {width, height});
        canvas.setAttribute("role", "img");
        if (which) copy.alt = "";
        figure.insertBefore(over, figure.querySelector("figcaption"));
        over.append(copy, canvas);
      });
    }
    return [...figure.querySelectorAll("canvas")];
  };
  const paint = (canvas, colour) => {
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    for (let at = 0; at < height * width; at++) image.data.set(colour(at), 4 * at);
    context.putImageData(image, 0, 0);
    return context;
  };
  box.addEventListener("featlib-place", ({detail: [which, layer, method, target, step, share]}) => {
    const scene = scenes[which], [heatCanvas, regionCanvas] = canvases(which);
    classes.querySelector("input").dataset.names = JSON.stringify(scene.classes);
    const [first, count, rows, columns] = scene.layers[layer][method], blend = blends[share], level = levels[step];
    const start = first + Math.min(target, count - 1) * rows * columns;
    const heat = enlarged(scene.bytes.subarray(start, start + rows * columns), rows, columns);
    const inside = heat.map(value => value > level), found = largest(inside);
    heatCanvas.previousElementSibling.style.filter = `grayscale(${blend})`;
    paint(heatCanvas, at => {
      const colour = 3 * Math.round(255 * heat[at]);
      return [table[colour], table[colour + 1], table[colour + 2], 255 * blend * (.6 * heat[at] + .25)];
    });
    const object = scene.bits && Uint8Array.from(inside, (_, at) => onObject(scene, at));
    const edge = at => {
      if (!object || !object[at]) return false;
      const row = Math.floor(at / width), column = at % width;
      for (const [down, right] of [[-2, 0], [2, 0], [0, -2], [0, 2], [1, 1], [1, -1], [-1, 1], [-1, -1]]) {
        const there = row + down >= 0 && row + down < height && column + right >= 0 && column + right < width;
        if (!there || !object[at + down * width + right]) return true;
      }
      return false;
    };
    const context = paint(regionCanvas, at => edge(at) ? [255, 255, 255, 255] : [0, 0, 0, inside[at] ? 0 : 166]);
    context.strokeStyle = "#56b4e9";
    context.lineWidth = 2;
    if (found) {
      const {left, top, right, bottom} = found;
      context.strokeRect(left + 1, top + 1, right - left - 2, bottom - top - 2);
    }
    const covered = inside.reduce((sum, value) => sum + value, 0);
    let words = `${count > 1 ? "" : "The same map for every class. "}The region covers ${Math.round(100 * covered / inside.length)} % of the picture.`;
    if (object) {
      let shared = 0, size = 0, most = 0, top = 0, hit = 0;
      heat.forEach(value => { most = Math.max(most, value); });
      object.forEach((there, at) => {
        size += there; shared += there && inside[at];
        if (heat[at] === most) { top++; hit += there; }
      });
      const boxes = overlap(found, largest(object)).toFixed(2), mask = (shared / (covered + size - shared)).toFixed(2);
      const points = hit === top ? "on it" : hit ? "partly on it" : "beside it";
      words += ` IoU with the outlined object: ${mask}, of the boxes around both: ${boxes};`
        + ` the map is highest ${points}.`;
    }
    reading.textContent = words;
    heatCanvas.setAttribute("aria-label", `Heat over the picture. ${words}`);
    regionCanvas.setAttribute("aria-label", "The region over the threshold, the rest dark, with the region's box.");
  });
});
