// What the theme's libraries do by eval, inline style or HTML text is done without, as our
// Content-Security-Policy asks for it. Loaded behind htmx and before Alpine starts.
"use strict";

Object.assign(htmx.config, {
  allowEval: false,
  allowScriptTags: false,
  includeIndicatorStyles: false, // they are in admin.css
  selfRequestsOnly: true,
  attributesToSettle: ["class", "width", "height"],
});

// Alpine writes a bound style as an attribute, which counts as inline; as a property it does not.
document.addEventListener("alpine:init", () => {
  Alpine.mapAttributes(({ name, value }) => (
    name === "x-bind:style" ? { name: "x-styled", value } : { name, value }
  ));
  Alpine.directive("styled", (el, { expression }, { effect, evaluateLater }) => {
    const evaluate = evaluateLater(expression);
    effect(() => evaluate((style) => {
      if (typeof style === "string") el.style.cssText = style;
      else Object.assign(el.style, style);
    }));
  });
});

// The theme copies rows of a form by their HTML. What scripts wrote into style attributes would be
// read again as inline style, which our policy refuses: it is taken off first, and Alpine, which
// wrote it, writes it again on the copy.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".add-row, .delete-template");
  const formset = button?.closest(".formset");
  if (!formset) return;
  const rows = [...formset.querySelectorAll(":scope > .form-group")];
  const first = button.matches(".add-row") ? rows.length - 1 : rows.indexOf(button.closest(".form-group"));
  for (const row of rows.slice(first)) {
    for (const element of row.querySelectorAll("[style]")) element.removeAttribute("style");
  }
}, true);
