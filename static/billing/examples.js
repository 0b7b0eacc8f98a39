// Examples beside money and quota fields that follow what is typed. Amounts are whole nano-USD
// (BigInt), as on the server; what cannot be read as an amount shows as a dash.
"use strict";

(() => {
  const NANO = 1000000000n;
  const PER_PRICE = 1000000n;
  const DASH = "–";

  const parse = (text, places) => {
    const match = /^([+-]?)(\d*)\.?(\d*)$/.exec(text.trim());
    if (!match || !(match[2] || match[3]) || match[3].length > places) return null;
    const digits = BigInt((match[2] || "0") + match[3].padEnd(places, "0"));
    return match[1] === "-" ? -digits : digits;
  };

  const usd = (nano) => {
    const whole = (nano / NANO).toString().replace(/\B(?=(\d{3})+$)/g, ",");
    const fraction = (nano % NANO).toString().padStart(9, "0").replace(/0+$/, "").padEnd(2, "0");
    return `$${whole}.${fraction}`;
  };

  const halfUp = (numerator, denominator) => (2n * numerator + denominator) / (2n * denominator);

  const amount = (name) => {
    const field = document.querySelector(`[data-cv-usd="${name}"]`);
    if (!field || field.value.trim() === "") return name === "per_request" ? 0n : null;
    const nano = parse(field.value, 9);
    return nano !== null && nano >= 0n ? nano : null;
  };

  const grouped = (text) => text.replace(/\B(?=(\d{3})+$)/g, ",");

  const span = (seconds) => {
    const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
    for (const [length, name] of units) {
      const count = seconds / length;
      const isMinute = length === 60 && count < 2;
      if (Number.isInteger(count) && !isMinute) return `${count} ${name}${count === 1 ? "" : "s"}`;
    }
    return `${seconds} seconds`;
  };

  const PERIODS = {
    day: "on each day (UTC)",
    month: "in each calendar month (UTC)",
    total: "in all, for ever",
  };

  const examples = {
    price() {
      const [input, output, each] = ["input", "output", "per_request"].map(amount);
      if (input === null || output === null || each === null) return DASH;
      return usd(halfUp(10000n * input + 1000n * output + each * PER_PRICE, PER_PRICE));
    },
    markup() {
      const field = document.querySelector("[data-cv-percent]");
      const ppm = parse(field.value, 4);
      if (ppm === null || ppm < -PER_PRICE) return DASH;
      return usd(halfUp(NANO * (PER_PRICE + ppm), PER_PRICE));
    },
    quota() {
      const value = (name) => document.querySelector(`[data-cv-quota="${name}"]`).value.trim();
      const [unit, ceiling, window] = ["unit", "ceiling", "window_s"].map(value);
      if (!/^[1-9]\d*$/.test(ceiling)) return DASH;
      if (unit === "concurrency") return `${grouped(ceiling)} requests at the same time`;
      if (!unit || !/^[1-9]\d*$/.test(window)) return DASH;
      return `${grouped(ceiling)} ${unit.replace("_", " ")} in any ${span(Number(window))}`;
    },
    budget() {
      const nano = amount("budget");
      const period = document.querySelector('[data-cv-period="budget"]');
      return nano === null ? DASH : `${usd(nano)} ${PERIODS[period.value] || ""}`;
    },
  };

  const refresh = () => {
    for (const output of document.querySelectorAll("output[data-cv-example]")) {
      output.textContent = examples[output.dataset.cvExample]();
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!document.querySelector("output[data-cv-example]")) return;
    document.addEventListener("input", refresh);
    document.addEventListener("change", refresh);
    if (document.querySelector("form[method=post] input:not([type=hidden])")) refresh();
  });
})();
