// Search over all projects while typing; website/search_index.py describes the shards.
"use strict";

(() => {
  const SHOWN = 20;
  const START_BONUS = 3;
  const MOST_SIMILAR = 8;
  const RESPELLED = 3;
  const PAUSE_MS = 200;
  const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  const box = document.querySelector(".search");
  if (!box) return;
  const input = box.querySelector("input");
  const list = box.querySelector("[role=listbox]");
  const status = box.querySelector("[role=status]");

  const shards = new Map(); // loaded shards by file name
  const buckets = new Map(); // loaded buckets of words (website/word_index.py) by name
  const pending = new Map(); // shards being loaded, by file name: {promise, controller}
  let query = "";
  let following = Promise.resolve(); // resolves when all results of `query` are loaded
  let chosen = -1;
  let is_guess = false; // the list has similar names only: Enter opens none that was not selected
  let closed = false; // by the reader: results that arrive later do not open the list again

  // --- shards ---

  function decoded(shard) {
    const projects = [];
    let name = "";
    for (const [, shared, rest, level] of shard.names.matchAll(/([0-9a-z])([a-z0-9-]*)([A-Z])/g)) {
      name = name.slice(0, parseInt(shared, 36)) + rest;
      projects.push({ name, level: LEVELS.indexOf(level) });
    }
    return { projects, packs: shard.next ? shard.next.split(" ") : [] };
  }

  async function read(file, signal) {
    const response = await fetch(`${box.dataset.shards}${encodeURIComponent(file)}.json`, { signal });
    if (!response.ok) throw new Error(`${response.status}`);
    const shard = decoded(await response.json());
    shards.set(file, shard);
    return shard;
  }

  function load(file) {
    if (!pending.has(file)) {
      const controller = new AbortController();
      const promise = read(file, controller.signal).finally(() => pending.delete(file));
      pending.set(file, { promise, controller });
    }
    return pending.get(file).promise;
  }

  // The loaded shards on the path of the typed text; `file` is the next one to load.
  function path(typed) {
    const found = [];
    let file = "_";
    for (let depth = 0; ; depth++) {
      const shard = shards.get(file);
      if (!shard) return { found, file };
      found.push(shard);
      const pack = depth < typed.length && shard.packs.find((pack) => pack.includes(typed[depth]));
      if (!pack) return { found, file: null };
      file = typed.slice(0, depth) + pack[0];
    }
  }

  function abandon(typed) {
    for (const [file, { controller }] of pending) {
      // A group's file is named by its first character, which may differ from the typed one.
      if (file !== "_" && !typed.startsWith(file.slice(0, -1))) controller.abort();
    }
  }

  // --- matching ---

  function normalised(text) {
    return text.trim().toLowerCase().replace(/[-_.\s]+/g, "-").replace(/^-/, "");
  }

  function place(name, typed) {
    if (name.startsWith(typed)) return 0;
    return name.indexOf(`-${typed}`) + 1 || -1;
  }

  function matches(shard, typed) {
    const found = [];
    for (const { name, level } of shard.projects) {
      const at = place(name, typed);
      if (at >= 0) found.push({ name, at, weight: level + (at === 0 ? START_BONUS : 0) });
    }
    return found.sort((a, b) =>
      (b.name === typed) - (a.name === typed) || b.weight - a.weight
      || a.name.length - b.name.length || (a.name < b.name ? -1 : 1));
  }

  // --- words of names and summaries, and other spellings ---

  async function bucket(name) {
    if (!buckets.has(name)) {
      const response = await fetch(`${box.dataset.words}${encodeURIComponent(name)}.json`);
      if (!response.ok) throw new Error(`${response.status}`);
      buckets.set(name, await response.json());
    }
    return buckets.get(name);
  }

  // The projects that have a word which starts with this text.
  async function projectsWith(start) {
    if (!(await bucket("_")).includes(start.slice(0, 2))) return [];
    const words = await bucket(start.slice(0, 2));
    const found = Object.hasOwn(words, start) ? [words[start]] : [];
    for (const word of Object.keys(words)) {
      if (word !== start && word.startsWith(start)) found.push(words[word]);
    }
    return [...new Set(found.flat())];
  }

  // Projects that have every word of the text in their name or summary.
  async function described(typed) {
    const starts = typed.split("-").filter((word) => word.length > 1);
    const [first, ...others] = await Promise.all(starts.map(projectsWith));
    return (first ?? []).filter((name) => others.every((names) => names.includes(name)));
  }

  // Projects whose name has the words of the text without what separates them.
  async function joined(typed) {
    const together = typed.replaceAll("-", "");
    if (together === typed) return [];
    for (;;) {
      const { found, file } = path(together);
      if (file === null) return matches(found.at(-1), together).map(({ name }) => name);
      await load(file);
    }
  }

  // Adds what is found in other ways to a list that is not full.
  async function extend(results, typed) {
    if (results.length >= SHOWN || typed.length < 3) return [];
    const names = [...await joined(typed), ...await described(typed)];
    const there = new Set(results.map(({ name }) => name));
    return [...new Set(names)].filter((name) => !there.has(name))
      .map((name) => ({ name, at: -1, isOther: true }));
  }

  // --- typing errors ---

  // The text with one of its first characters left out, or two of them exchanged: their shards have
  // the names that the shards of the text itself lack.
  function respelled(typed) {
    const found = [];
    for (let at = 0; at < Math.min(RESPELLED, typed.length - 1); at++) {
      const [before, after] = [typed.slice(0, at), typed.slice(at + 2)];
      found.push(before + typed[at + 1] + typed[at] + after, before + typed[at + 1] + after);
    }
    return found;
  }

  // The shards on the path of a text, loaded if need be.
  async function walk(typed) {
    for (;;) {
      const { found, file } = path(typed);
      if (file === null) return found;
      await load(file);
    }
  }

  // How many characters are missing, added, changed or exchanged in the text, compared with a
  // name; with what only starts like it, one more.
  function errors(typed, name) {
    let earlier = [], before = [], row = Array.from({ length: name.length + 1 }, (_, at) => at);
    for (let i = 1; i <= typed.length; i++) {
      [earlier, before, row] = [before, row, [i]];
      for (let j = 1; j <= name.length; j++) {
        const is_same = typed[i - 1] === name[j - 1];
        row[j] = Math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + !is_same);
        if (i > 1 && j > 1 && typed[i - 1] === name[j - 2] && typed[i - 2] === name[j - 1]) {
          row[j] = Math.min(row[j], earlier[j - 2] + 1);
        }
      }
    }
    return Math.min(row.at(-1), Math.min(...row) + 1);
  }

  // Projects whose names are nearly the text; waits until nobody types.
  async function similar(typed) {
    await new Promise((done) => { setTimeout(done, PAUSE_MS); });
    const levels = new Map();
    for (const text of ["", typed, ...respelled(typed)]) {
      if (query !== typed) return [];
      for (const shard of await walk(text)) {
        for (const { name, level } of shard.projects) levels.set(name, level);
      }
    }
    const limit = typed.length < 5 ? 1 : 2;
    return [...levels]
      .filter(([name]) => name.length >= typed.length - limit)
      .map(([name, level]) => ({ name, level, at: -1, errors: errors(typed, name) }))
      .filter((project) => project.errors <= limit)
      .sort((a, b) => a.errors - b.errors || b.level - a.level || (a.name < b.name ? -1 : 1))
      .slice(0, MOST_SIMILAR);
  }

  // --- display ---

  function option({ name, at }, index, typed) {
    const item = document.createElement("li");
    item.id = `search-option-${index}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    item.dataset.name = name;
    if (at < 0) {
      item.append(name);
      return item;
    }
    const mark = document.createElement("mark");
    mark.textContent = name.slice(at, at + typed.length);
    item.append(name.slice(0, at), mark, name.slice(at + typed.length));
    return item;
  }

  function show(found, typed) {
    const shown = found.slice(0, SHOWN);
    const name = list.children[chosen]?.dataset.name; // results may be added while one is selected
    list.replaceChildren(...shown.map((project, at) => option(project, at, typed)));
    list.scrollTop = 0;
    choose(shown.findIndex((project) => project.name === name));
    expand(shown.length > 0 && !closed);
  }

  function expand(open) {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    if (!open) choose(-1);
  }

  function close() {
    closed = true;
    expand(false);
  }

  function choose(at) {
    list.children[chosen]?.setAttribute("aria-selected", "false");
    chosen = at;
    const item = list.children[at];
    if (!item) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    item.setAttribute("aria-selected", "true");
    input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  function summary(found, complete) {
    if (!found.length) return complete ? "No matching projects." : "";
    if (complete && found.length <= SHOWN) return found.length === 1 ? "One project." : `${found.length} projects.`;
    return `The ${Math.min(found.length, SHOWN)} most downloaded matches; keep typing to narrow them.`;
  }

  function described_summary(results, others, complete) {
    if (results.length) return `${summary(results, complete)} ${others.length} more by their description or spelling.`;
    return `No name matches. ${others.length === 1 ? "One project" : `${others.length} projects`} by description or spelling.`;
  }

  function update() {
    const typed = normalised(input.value);
    if (typed === query) return;
    query = typed;
    is_guess = false;
    closed = false;
    abandon(typed);
    if (typed) {
      following = follow(typed);
      return;
    }
    show([], "");
    status.textContent = "";
  }

  async function follow(typed) {
    for (;;) {
      const { found, file } = path(typed);
      const deepest = found.at(-1);
      const results = deepest ? matches(deepest, typed) : [];
      if (deepest) show(results, typed);
      if (file === null) {
        // A leaf holds all matches; so does a shard without further shards for the text.
        const complete = !deepest.packs.length || found.length <= typed.length;
        const others = await extend(results, typed).catch(() => []);
        if (query !== typed) return;
        if (!results.length && !others.length && typed.length > 2) {
          const guesses = await similar(typed).catch(() => []);
          if (query !== typed) return;
          is_guess = guesses.length > 0;
          if (is_guess) {
            show(guesses, typed);
            status.textContent = "No project has this name. These names are similar.";
            return;
          }
        }
        if (others.length) show([...results, ...others], typed);
        status.textContent = others.length
          ? described_summary(results, others, complete)
          : summary(results, complete);
        return;
      }
      try {
        await load(file);
      } catch (error) {
        if (query === typed && error.name !== "AbortError") fail(error);
        return;
      }
      if (query !== typed) return;
    }
  }

  function fail(error) {
    query = ""; // allow a retry with the same text
    status.textContent = navigator.onLine && /^\d/.test(error.message)
      ? `Search failed (${error.message}). The pages by first letter list every project.`
      : "Search is unreachable. Press Enter to retry.";
  }

  // --- keyboard and pointer ---

  function address(name) {
    // The platform that the visitor picked stays in the address.
    return `${box.dataset.projects}${encodeURIComponent(name)}/${site.platformQuery()}`;
  }

  function visit(item) {
    location.assign(address(item.dataset.name));
  }

  async function enter() {
    if (chosen >= 0) {
      visit(list.children[chosen]);
      return;
    }
    update(); // retry what failed
    const typed = query;
    await following;
    if (!typed || query !== typed || !list.firstChild) return;
    if (is_guess) step(1);
    else visit(list.firstChild);
  }

  function step(by) {
    const count = list.children.length;
    if (!count) return;
    closed = false;
    if (list.hidden) expand(true);
    choose(chosen < 0 ? (by > 0 ? 0 : count - 1) : (chosen + by + count) % count);
  }

  const keys = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Enter: enter,
    Escape: () => {
      if (list.hidden) input.value = ""; // the first press closes the list, the second clears the text
      close();
      update();
    },
  };

  input.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  input.addEventListener("input", update);
  // Load the root shard before the first character is typed.
  input.addEventListener("focus", () => { if (!shards.has("_")) load("_").catch(() => {}); });
  input.addEventListener("blur", close);

  function pick(event) {
    const item = event.target.closest("[role=option]");
    if (!item || event.button > 1) return;
    if (event.button === 1 || event.ctrlKey || event.metaKey) open(address(item.dataset.name), "_blank", "noopener");
    else visit(item);
  }

  list.addEventListener("mousedown", (event) => event.preventDefault()); // keep the focus in the input
  list.addEventListener("click", pick);
  list.addEventListener("auxclick", pick);

  // A name that was looked for without JavaScript, or that has no page.
  input.value ||= new URLSearchParams(location.search).get("q") ?? site.missingProject();
  if (input.value) update(); // restored by the browser
})();
