// What a page must be, told as lists of what is not. `window.page` of the page under test.
window.page = (() => {
  // Not so what a closed `details` holds.
  const visible = (element) => element.checkVisibility({ visibilityProperty: true });
  const name = (element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""}`;

  // Text nodes that a reader sees.
  const texts = () => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const parent = node.parentElement;
      if (node.textContent.trim() && !parent.closest("script, style, noscript, #js-plotly-tester") && visible(parent)) {
        found.push(node);
      }
    }
    return found;
  };

  // sRGB with alpha, each from 0 to 1.
  const parse = (colour) => {
    const numbers = (colour.match(/[\d.]+/g) ?? ["0", "0", "0", "0"]).map(Number);
    return [...numbers.slice(0, 3).map((part) => part / 255), numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, i) => part * a + below[i] * (1 - a));
  const background = (element) => {
    if (!element) return [1, 1, 1];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, background(element.parentElement));
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);

  // The contrast of WCAG 2.2, 1.4.3.
  const contrast = (element) => {
    const style = getComputedStyle(element);
    const [r, g, b, a] = parse(element instanceof SVGElement ? style.fill : style.color);
    const below = background(element);
    const [light, dark] = [luminance(over([r, g, b, a * opacity(element)], below)), luminance(below)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };

  const charts = () => [...document.querySelectorAll(".chart")];
  const drawn = (chart) => {
    const marks = [...chart.querySelectorAll(".point path, path.point, .js-line")];
    const inside = chart.querySelector(".main-svg").getBoundingClientRect();
    const shown = marks.filter((mark) => mark.getBoundingClientRect().width + mark.getBoundingClientRect().height > 0);
    return inside.width > 200 && inside.height > 150 && shown.length > 0;
  };

  return {
    // True when charts have the size and the colours of the page.
    settled: () => {
      const ink = getComputedStyle(document.body).color;
      return charts().every((chart) => {
        const svg = chart.querySelector(".main-svg");
        const label = chart.querySelector(".xtick text, .ytick text");
        return svg && Math.abs(svg.getBoundingClientRect().width - chart.clientWidth) < 2 && label && getComputedStyle(label).fill === ink;
      });
    },
    openAll: () => document.querySelectorAll("details").forEach((details) => (details.open = true)),
    isDark: () => luminance(background(document.body)) < 0.2,
    charts: () => charts().length,
    details: () => document.querySelectorAll("details").length,
    undrawn: () => charts().filter((chart) => !drawn(chart)).map((chart) => chart.getAttribute("aria-label")),
    unlabelled: () =>
      charts().filter((chart) => !chart.getAttribute("aria-label") || !chart.closest("figure").querySelector("details table")).map(name),
    tooWide: () => {
      const width = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth <= width) return [];
      const wide = [...document.body.querySelectorAll("*")].filter((element) => {
        return !element.closest(".scroll, pre, svg") && element.getBoundingClientRect().right > width + 1;
      });
      return ["the page", ...wide.slice(0, 9).map(name)];
    },
    faint: () => {
      const found = texts().map((node) => [contrast(node.parentElement), node]);
      const faint = found.filter(([contrast]) => contrast < 4.5);
      return faint.slice(0, 9).map(([contrast, node]) => `${contrast.toFixed(2)} ${name(node.parentElement)} ${node.textContent.trim().slice(0, 40)}`);
    },
    brokenNumbers: () => {
      const broken = [];
      for (const node of texts().filter((node) => !node.parentElement.closest("svg, pre"))) {
        for (const match of node.textContent.matchAll(/[+−]?\d[\d.,\u202f]*(\u00a0%)?/g)) {
          const range = document.createRange();
          range.setStart(node, match.index);
          range.setEnd(node, match.index + match[0].length);
          const tops = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
          if (tops.size > 1) broken.push(`${match[0]} in ${name(node.parentElement)}`);
        }
      }
      return broken.slice(0, 9);
    },
    // Headings that skip a level, or a page without exactly one of the first.
    misplacedHeadings: () => {
      const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((heading) => Number(heading.tagName[1]));
      const misplaced = levels.filter((level, i) => level > (levels[i - 1] ?? 0) + 1);
      return levels.filter((level) => level === 1).length === 1 ? misplaced : ["h1", ...misplaced];
    },
    brokenLinks: () => {
      const links = [...document.querySelectorAll("a[href]")].map((link) => link.getAttribute("href"));
      return links.filter((link) => !link.startsWith("#") || !document.getElementById(link.slice(1)));
    },
    loaded: () => performance.getEntriesByType("resource").map((entry) => entry.name),
    watchFocus: () => {
      window.focused = new Set();
      document.addEventListener("focusin", (event) => window.focused.add(event.target));
    },
    unreached: () => {
      const wanted = [...document.querySelectorAll(".chart, summary, .scroll")].filter(visible);
      return wanted.filter((element) => !window.focused.has(element)).map(name);
    },
    focusable: () => document.querySelectorAll("a[href], [tabindex='0'], summary").length,
    hovered: () => document.querySelectorAll(".chart:focus .hoverlayer .hovertext").length,
  };
})();
