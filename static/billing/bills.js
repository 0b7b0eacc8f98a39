// What requests cost, worked out by the server while people type. Nothing is saved by it.
"use strict";

(() => {
  const WAIT_MS = 300;

  const line = (what, amount) => {
    const row = document.createElement("div");
    const term = row.appendChild(document.createElement("dt"));
    const value = row.appendChild(document.createElement("dd"));
    term.textContent = what;
    value.textContent = amount;
    return row;
  };

  document.addEventListener("DOMContentLoaded", () => {
    const box = document.querySelector("[data-cv-bills]");
    const form = box && box.closest("form");
    if (!form) return;
    let timer = 0;
    let newest = 0;

    const refresh = async () => {
      const asked = ++newest;
      const answer = await fetch(box.dataset.cvBills, { method: "POST", body: new FormData(form) });
      if (!answer.ok || asked !== newest) return;
      const told = await answer.json();
      const rows = told.examples.map((each) => line(each.what, each.amount));
      box.replaceChildren(...(rows.length ? rows : [line(told.why || "", "–")]));
    };
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(() => refresh().catch(() => {}), WAIT_MS);
    };

    form.addEventListener("input", soon);
    form.addEventListener("change", soon);
    if (form.querySelector("input[name$=_usd], input[name=markup_percent]")) soon();
  });
})();
