"use strict";
(function () {
  var data = JSON.parse(document.getElementById("data").textContent);
  var select = document.getElementById("class");
  var find = document.getElementById("find");
  var matches = document.getElementById("matches");
  var flow = document.getElementById("flow");
  var panel = document.getElementById("channel");
  var SVG = "http://www.w3.org/2000/svg";
  var COLUMNS = 64, STEP = 10, SIZE = 9;

  data.sites.forEach(function (site) {
    var text = atob(site.masks);
    site.bytes = new Uint8Array(text.length);
    for (var i = 0; i < text.length; i++) { site.bytes[i] = text.charCodeAt(i); }
  });

  function keeps(site, row, channel) {
    var bit = row * site.channels + channel;
    return (site.bytes[bit >> 3] >> (7 - (bit & 7))) & 1;
  }

  function colour(users) {
    // From dark (the class alone) to pale (all classes).
    var share = data.rows.length > 1 ? (users - 1) / (data.rows.length - 1) : 0;
    return "hsl(208, 70%, " + (30 + 48 * share) + "%)";
  }

  function element(name, text, parent) {
    var made = document.createElement(name);
    if (text !== null) { made.textContent = text; }
    if (parent) { parent.appendChild(made); }
    return made;
  }

  function drawSite(site, row) {
    var line = element("div", null, flow), words = element("p", null, line), kept = 0;
    line.className = "site";
    var lines = Math.ceil(site.channels / COLUMNS);
    var svg = document.createElementNS(SVG, "svg");
    var width = Math.min(site.channels, COLUMNS) * STEP;
    svg.setAttribute("viewBox", "0 0 " + width + " " + lines * STEP);
    svg.setAttribute("width", width);
    svg.setAttribute("role", "img");
    for (var channel = 0; channel < site.channels; channel++) {
      var on = keeps(site, row, channel);
      kept += on;
      var square = document.createElementNS(SVG, "rect");
      square.setAttribute("x", (channel % COLUMNS) * STEP);
      square.setAttribute("y", Math.floor(channel / COLUMNS) * STEP);
      square.setAttribute("width", SIZE);
      square.setAttribute("height", SIZE);
      square.setAttribute("fill", on ? colour(site.users[channel]) : "#eceff1");
      square.setAttribute("data-channel", channel);
      svg.appendChild(square);
    }
    svg.setAttribute("aria-label", kept + " of " + site.channels + " channels of " + site.name);
    element("b", site.name, words);
    element("br", null, words);
    var nearest = site.nearest[row];
    var near = nearest.rows.map(function (pair) { return data.rows[pair[0]] + " " + pair[1].toFixed(2); });
    if (nearest.alike !== null) {
      near.push(nearest.alike[0] + (near.length ? " others" : " classes") + " alike, " + nearest.alike[1].toFixed(2));
    }
    var shared = near.length ? "; most shared with " + near.join(", ") : "";
    if (near.length && site.itself !== null) { shared += " (a class with itself, other seed: " + site.itself.toFixed(2) + ")"; }
    element("span", kept + " of " + site.channels + shared, words);
    svg.addEventListener("click", function (event) {
      var chosen = event.target.getAttribute("data-channel");
      if (chosen !== null) { describe(site, Number(chosen)); }
    });
    line.appendChild(svg);
  }

  function describe(site, channel) {
    var names = [];
    for (var row = 0; row < data.rows.length; row++) {
      if (keeps(site, row, channel)) { names.push(data.rows[row]); }
    }
    panel.textContent = "";
    element("b", "Channel " + channel + " of " + site.name, panel);
    var most = names.slice(0, 12).join(", ") + (names.length > 12 ? " and " + (names.length - 12) + " more" : "");
    element("div", names.length ? "Kept by " + names.length + " of " + data.rows.length + ": " + most : "Kept by no class.", panel);
    var images = (data.exciting[site.name] || {})[channel];
    element("div", images ? "Excited most by:" : "No images are kept for this channel; above the squares stands which have some.", panel);
    (images || []).forEach(function (position) {
      var picture = element("img", null, panel);
      picture.src = data.pictures[position];
      picture.alt = "image " + position;
      picture.title = "image " + position;
    });
  }

  function show(row) {
    flow.textContent = "";
    data.sites.forEach(function (site) { drawSite(site, row); });
    panel.textContent = "Click on a channel.";
  }

  function offer() {
    var wanted = find.value.trim().toLowerCase(), chosen = select.value, count = 0;
    select.textContent = "";
    data.rows.forEach(function (name, row) {
      if (name.toLowerCase().indexOf(wanted) < 0) { return; }
      var option = element("option", name.length > 80 ? name.slice(0, 79) + "\u2026" : name, select);
      option.value = row;
      count += 1;
    });
    matches.textContent = wanted ? count + " of " + data.rows.length + " classes" : "";
    if (chosen !== "" && select.querySelector('option[value="' + chosen + '"]')) { select.value = chosen; }
    if (count && select.value !== chosen) { show(Number(select.value)); }
  }

  select.addEventListener("change", function () { show(Number(select.value)); });
  find.addEventListener("input", offer);
  offer();
})();
