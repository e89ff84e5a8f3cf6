// What a page must keep to so that everybody can read it; checks.py says where the rules are from.
({
  // What is wrong with its structure, names and size.
  structure() {
    const wrong = [];
    const say = (text, element) => wrong.push(element ? `${text}: ${element.outerHTML.slice(0, 160)}` : text);
    const all = (selector) => [...document.querySelectorAll(selector)];
    const visible = (element) => element.checkVisibility({ visibilityProperty: true });

    if (!document.documentElement.lang) say("the page has no language");
    if (!document.title.trim()) say("the page has no title");
    for (const [role, selector] of [["main", "main"], ["banner", "body > header"], ["contentinfo", "body > footer"]])
      if (all(selector).length !== 1) say(`the page has not one ${role}`);
    if (all("h1").length !== 1) say(`the page has ${all("h1").length} h1`);
    if (!all("a[href='#main']").length) say("nothing skips to the content");

    let before = 0;
    for (const heading of all("h1, h2, h3, h4, h5, h6").filter(visible)) {
      const level = Number(heading.tagName[1]);
      if (level > before + 1) say("a heading skips a level", heading);
      before = level;
    }

    const ids = new Set();
    for (const element of all("[id]")) {
      if (ids.has(element.id)) say("an id is there twice", element);
      ids.add(element.id);
    }
    for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls"])
      for (const element of all(`[${attribute}]`))
        for (const id of element.getAttribute(attribute).split(/\s+/))
          if (!ids.has(id)) say(`${attribute} names what is not there`, element);

    for (const image of all("img:not([alt]), svg:not([aria-hidden]):not([role]), svg[role=img]:not([aria-labelledby])")
        .filter((image) => !image.closest("svg[role=img]") || image.matches("[role=img]")))
      say("a picture has no name", image);
    for (const field of all("input, select, textarea"))
      if (!field.labels?.length && !field.getAttribute("aria-label")) say("a field has no label", field);
    for (const control of all("button, a[href], summary"))
      if (!control.textContent.trim() && !control.getAttribute("aria-label")) say("a control has no name", control);
    for (const nav of all("nav"))
      if (!nav.getAttribute("aria-label")) say("a navigation has no name", nav);
    for (const region of all("[role=region], .scroll"))
      if (!region.getAttribute("aria-label") || region.tabIndex !== 0) say("a region has no name or no focus", region);
    for (const table of all("table")) {
      if (!table.querySelector("thead th[scope=col]")) say("a table has no heads", table);
      for (const head of table.querySelectorAll("th:not([scope])")) say("a head says not of what", head);
    }
    for (const element of all("[tabindex]"))
      if (element.tabIndex > 0) say("the order of focus is bent", element);

    for (const element of all("[style], style, script:not([src])")) say("style or script stands in the page", element);
    for (const element of all("*"))
      for (const { name } of element.attributes) if (/^on/.test(name)) say("a handler stands in the page", element);

    for (const control of all("button, nav a, summary, input, [role=option]").filter(visible)) {
      const { width, height } = control.getBoundingClientRect();
      if (width < 24 || height < 24) say(`a target is ${width.toFixed()} by ${height.toFixed()}`, control);
    }

    const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (over > 0) {
      const wide = all("body *").filter((element) => !element.closest(".scroll")
        && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
      say(`the page is ${over} px too wide`, wide[0]);
    }
    return wrong;
  },

  // Texts that do not stand out enough from what is behind them.
  contrast() {
    const parse = (colour) => {
      const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
      return { r, g, b, a };
    };
    const luminance = ({ r, g, b }) => [r, g, b]
      .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
      .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (element) => {
      for (let e = element; e; e = e.parentElement) {
        const colour = parse(getComputedStyle(e).backgroundColor);
        if (colour.a === 1) return colour;
        if (colour.a > 0) return null;
      }
      return { r: 255, g: 255, b: 255 };
    };
    const weak = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
      if (element.closest("title, desc, noscript, .hidden-text, .skip")) continue;
      const style = getComputedStyle(element);
      const behind = ground(element);
      const front = parse(element.closest("svg") ? style.fill : style.color);
      if (!behind || front.a !== 1) {
        weak.push(`not to be reckoned: ${texts.currentNode.data.trim().slice(0, 60)}`);
        continue;
      }
      const [light, dark] = [luminance(front), luminance(behind)].sort((a, b) => b - a);
      const ratio = (light + 0.05) / (dark + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5))
        weak.push(`${ratio.toFixed(2)}: ${texts.currentNode.data.trim().slice(0, 60)} in ${element.className || element.tagName}`);
    }
    return weak;
  },

  // What has the focus, and whether that can be seen.
  focus() {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    return {
      name: (element.getAttribute("aria-label") || element.textContent || element.id).trim().slice(0, 60),
      shown: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
      inside: box.right > 0 && box.bottom > 0 && box.top < innerHeight && box.left < innerWidth,
    };
  },
})
