// The theme writes behaviour into attributes: x-on:click="open = !open". Alpine makes functions of
// them with eval, which our Content-Security-Policy forbids. This evaluator reads them with a parser
// of its own and walks what it read, so no text of a page ever becomes code of the browser.
//
// Understood: literals, names, members, calls, operators, assignments, ?:, ?., arrow functions,
// `if`, `const`/`let`, several statements. Known besides what the page's components define: the few
// globals below. Out of reach: constructors, prototypes, the document, HTML sinks.
"use strict";

(() => {
  const GLOBALS = new Set([
    "Date", "JSON", "Math", "Number", "String", "console", "getCurrentTab", "localStorage",
    "moveRecords", "searchCommand", "searchDropdown", "searchForm", "sortRecords", "theme",
  ]);
  const MAKEABLE = new Set(["Date"]);
  const FORBIDDEN = new Set([
    "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__", "__proto__",
    "constructor", "contentDocument", "contentWindow", "createContextualFragment", "defaultView",
    "eval", "innerHTML", "insertAdjacentHTML", "nonce", "outerHTML", "ownerDocument", "prototype",
    "setHTMLUnsafe", "srcdoc", "view", "write", "writeln",
  ]);
  const WINDOW = Object.freeze({ get location() { return window.location; } });
  const LITERALS = { true: true, false: false, null: null, undefined: undefined };
  const TOKEN = new RegExp(
    [
      "\\s+",
      "(?<number>\\d+(?:\\.\\d+)?)",
      "(?<name>[A-Za-z_$][\\w$]*)",
      "(?<text>'(?:[^'\\\\]|\\\\.)*'|\"(?:[^\"\\\\]|\\\\.)*\")",
      "(?<mark>===|!==|=>|==|!=|<=|>=|&&|\\|\\||\\?\\?|\\?\\.|\\+\\+|--|\\+=|-=|[-+*/%<>!=?:;,.(){}[\\]])",
    ].join("|"),
    "sy",
  );
  const LEVELS = [
    ["??"], ["||"], ["&&"], ["===", "!==", "==", "!="], ["<", ">", "<=", ">=", "in"],
    ["+", "-"], ["*", "/", "%"],
  ];
  const LAZY = {
    "??": (a, b) => (env) => a(env) ?? b(env),
    "||": (a, b) => (env) => a(env) || b(env),
    "&&": (a, b) => (env) => a(env) && b(env),
  };
  const EAGER = {
    "===": (a, b) => a === b, "!==": (a, b) => a !== b,
    "==": (a, b) => a == b, "!=": (a, b) => a != b, // eslint-disable-line eqeqeq
    "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
    in: (a, b) => a in b, "+": (a, b) => a + b, "-": (a, b) => a - b,
    "*": (a, b) => a * b, "/": (a, b) => a / b, "%": (a, b) => a % b,
  };
  const ESCAPES = { n: "\n", t: "\t", r: "\r" };

  const allowed = (value) => {
    if (value === window || value === document || value === Function || value === window.eval) {
      throw new TypeError("Out of reach of an expression in a page.");
    }
    return value;
  };
  const member = (name) => {
    const key = typeof name === "symbol" || typeof name === "number" ? name : String(name);
    if (FORBIDDEN.has(key)) throw new TypeError(`'${key}' is out of reach of an expression.`);
    return key;
  };
  const read = (env, name) => {
    if (Object.hasOwn(env.locals, name)) return env.locals[name];
    if (name in env.scope) return allowed(env.scope[name]);
    if (name === "window") return WINDOW;
    if (GLOBALS.has(name)) return globalThis[name];
    throw new ReferenceError(`${name} is not defined`);
  };

  const tokenize = (source) => {
    const tokens = [];
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < source.length) {
      const at = TOKEN.lastIndex;
      const found = TOKEN.exec(source);
      if (!found) throw new SyntaxError(`Cannot read '${source.slice(at, at + 20)}'`);
      const { number, name, text, mark } = found.groups;
      if (number !== undefined) tokens.push({ kind: "value", value: Number(number) });
      else if (name !== undefined) tokens.push({ kind: "name", value: name });
      else if (mark !== undefined) tokens.push({ kind: "mark", value: mark });
      else if (text !== undefined) {
        const plain = text.slice(1, -1).replace(/\\(.)/gs, (_, it) => ESCAPES[it] ?? it);
        tokens.push({ kind: "value", value: plain });
      }
    }
    return tokens;
  };

  // Each method reads one form and gives back a function of the environment that does it.
  class Parser {
    constructor(source) {
      this.tokens = tokenize(source);
      this.at = 0;
    }

    is(value, offset = 0) {
      const token = this.tokens[this.at + offset];
      return token !== undefined && token.kind !== "value" && token.value === value;
    }

    take(value) {
      if (!this.is(value)) return false;
      this.at += 1;
      return true;
    }

    need(value) {
      if (!this.take(value)) throw new SyntaxError(`Expected '${value}'`);
    }

    name() {
      const token = this.tokens[this.at];
      if (token?.kind !== "name") throw new SyntaxError("Expected a name");
      this.at += 1;
      return token.value;
    }

    statements(end) {
      const steps = [];
      while (this.at < this.tokens.length && !(end && this.is(end))) {
        if (!this.take(";")) steps.push(this.statement());
      }
      if (steps.length === 1) return steps[0];
      return (env) => steps.reduce((_, step) => step(env), undefined);
    }

    statement() {
      if (this.take("if")) return this.condition();
      if (this.is("const") || this.is("let")) return this.declaration();
      return this.expression();
    }

    body() {
      if (!this.take("{")) return this.statement();
      const block = this.statements("}");
      this.need("}");
      return block;
    }

    condition() {
      this.need("(");
      const test = this.expression();
      this.need(")");
      const yes = this.body();
      while (this.is(";") && this.is("else", 1)) this.at += 1;
      const no = this.take("else") ? this.body() : () => undefined;
      return (env) => { (test(env) ? yes : no)(env); };
    }

    declaration() {
      this.at += 1;
      const name = this.name();
      this.need("=");
      const value = this.expression();
      return (env) => { env.locals[name] = value(env); };
    }

    parameters() {
      const start = this.at;
      const names = [];
      if (this.tokens[this.at]?.kind === "name") names.push(this.name());
      else if (this.take("(")) {
        while (this.tokens[this.at]?.kind === "name") {
          names.push(this.name());
          if (!this.take(",")) break;
        }
        if (!this.take(")")) names.length = 0;
      }
      if (this.take("=>")) return names;
      this.at = start;
      return null;
    }

    expression() {
      const names = this.parameters();
      if (names) return this.arrow(names);
      const left = this.choice();
      for (const mark of ["=", "+=", "-="]) {
        if (!this.take(mark)) continue;
        if (!left.set) throw new SyntaxError("This cannot be assigned to");
        const right = this.expression();
        if (mark === "=") return (env) => left.set(env, right(env));
        const apply = EAGER[mark[0]];
        return (env) => left.set(env, apply(left(env), right(env)));
      }
      return left;
    }

    arrow(names) {
      const body = this.body();
      return (env) => (...values) => {
        const given = Object.fromEntries(names.map((name, index) => [name, values[index]]));
        return body({ scope: env.scope, locals: { ...env.locals, ...given } });
      };
    }

    choice() {
      const test = this.binary(0);
      if (!this.take("?")) return test;
      const yes = this.expression();
      this.need(":");
      const no = this.expression();
      return (env) => (test(env) ? yes(env) : no(env));
    }

    binary(level) {
      if (level === LEVELS.length) return this.unary();
      let left = this.binary(level + 1);
      for (;;) {
        const mark = LEVELS[level].find((each) => this.is(each));
        if (mark === undefined) return left;
        this.at += 1;
        const [a, b] = [left, this.binary(level + 1)];
        left = mark in LAZY ? LAZY[mark](a, b) : (env) => EAGER[mark](a(env), b(env));
      }
    }

    unary() {
      for (const [mark, apply] of [["!", (a) => !a], ["-", (a) => -a], ["+", (a) => +a]]) {
        if (!this.take(mark)) continue;
        const value = this.unary();
        return (env) => apply(value(env));
      }
      if (this.take("typeof")) {
        const value = this.unary();
        return (env) => typeof value(env);
      }
      const value = this.chain();
      for (const [mark, step] of [["++", 1], ["--", -1]]) {
        if (!this.take(mark)) continue;
        if (!value.set) throw new SyntaxError("This cannot be counted");
        return (env) => {
          const before = value(env);
          value.set(env, before + step);
          return before;
        };
      }
      return value;
    }

    chain() {
      let value = this.primary();
      for (;;) {
        if (this.take(".")) value = this.member(value, this.key(), false);
        else if (this.take("?.")) value = this.member(value, this.key(), true);
        else if (this.take("[")) {
          const key = this.expression();
          this.need("]");
          value = this.member(value, key, false);
        } else if (this.is("(")) value = this.call(value);
        else return value;
      }
    }

    key() {
      const name = member(this.name());
      return () => name;
    }

    member(owner, key, isOptional) {
      const get = (env) => {
        const it = owner(env);
        if (it == null && (isOptional || owner.isOptional)) return undefined;
        return allowed(it[member(key(env))]);
      };
      get.isOptional = isOptional || owner.isOptional;
      get.set = (env, value) => { owner(env)[member(key(env))] = value; return value; };
      get.owned = (env) => {
        const it = owner(env);
        if (it == null && get.isOptional) return [undefined, undefined];
        return [it, allowed(it[member(key(env))])];
      };
      return get;
    }

    list(end) {
      const items = [];
      while (!this.is(end)) {
        items.push(this.expression());
        if (!this.take(",")) break;
      }
      this.need(end);
      return items;
    }

    call(callee) {
      this.need("(");
      const given = this.list(")");
      const result = (env) => {
        const [owner, run] = callee.owned ? callee.owned(env) : [undefined, callee(env)];
        if (run == null && callee.isOptional) return undefined;
        return allowed(run.apply(owner, given.map((each) => each(env))));
      };
      result.isOptional = callee.isOptional;
      return result;
    }

    primary() {
      const token = this.tokens[this.at];
      if (token === undefined) throw new SyntaxError("Ends too early");
      if (token.kind === "value") {
        this.at += 1;
        return () => token.value;
      }
      if (this.take("(")) {
        const inner = this.expression();
        this.need(")");
        return inner;
      }
      if (this.take("[")) {
        const items = this.list("]");
        return (env) => items.map((each) => each(env));
      }
      if (this.take("{")) return this.object();
      if (this.take("new")) return this.made();
      return this.variable(this.name());
    }

    object() {
      const pairs = [];
      while (!this.is("}")) {
        const token = this.tokens[this.at];
        if (token === undefined || token.kind === "mark") throw new SyntaxError("Expected a key");
        this.at += 1;
        const key = member(token.value);
        pairs.push([key, this.take(":") ? this.expression() : this.variable(key)]);
        if (!this.take(",")) break;
      }
      this.need("}");
      return (env) => Object.fromEntries(pairs.map(([key, value]) => [key, value(env)]));
    }

    made() {
      const name = this.name();
      if (!MAKEABLE.has(name)) throw new TypeError(`'${name}' is out of reach of an expression.`);
      this.need("(");
      const given = this.list(")");
      return (env) => new globalThis[name](...given.map((each) => each(env)));
    }

    variable(name) {
      if (Object.hasOwn(LITERALS, name)) return () => LITERALS[name];
      const get = (env) => read(env, name);
      get.set = (env, value) => {
        if (Object.hasOwn(env.locals, name)) env.locals[name] = value;
        else env.scope[member(name)] = value;
        return value;
      };
      get.owned = (env) => [env.scope, read(env, name)];
      return get;
    }
  }

  // The theme's only text that is a program: select2 tells jQuery of changes, not the browser.
  const SELECT2 =
    /^const \$ = django\.jQuery; .*\$\('#([\w-]+)'\); select\.on\('change', \(ev\) => \{ (\w+) = select/;

  const cache = new Map();
  const compile = (source) => {
    let compiled = cache.get(source);
    if (compiled === undefined) {
      const parser = new Parser(source);
      compiled = parser.statements();
      cache.set(source, compiled);
    }
    return compiled;
  };

  const selectBinding = (el, [, id, name]) => (env) => {
    const select = django.jQuery(document.getElementById(id) ?? el);
    select.on("change", () => { env.scope[name] = select.val(); });
  };

  const refsOf = (el) => {
    const found = [];
    Alpine.findClosest(el, (each) => { if (each._x_refs) found.push(each._x_refs); });
    return Alpine.mergeProxies(found);
  };

  // Alpine's own helpers in the form in which it gives them to its evaluator.
  const magics = (el) => ({
    get $el() { return el; },
    get $refs() { return refsOf(el); },
    get $root() { return Alpine.closestRoot(el); },
    get $data() { return Alpine.$data(el); },
    get $nextTick() { return Alpine.nextTick; },
    get $dispatch() {
      return (name, detail = {}) => el.dispatchEvent(
        new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true }),
      );
    },
    get $watch() {
      return (key, callback) => {
        const evaluate = Alpine.evaluateLater(el, key);
        let value;
        const stop = Alpine.watch(() => { evaluate((it) => { value = it; }); return value; }, callback);
        Alpine.onElRemoved(el, stop);
      };
    },
  });

  const deliver = (receiver, value, scope, params) => {
    const result = typeof value === "function" ? value.apply(scope, params) : value;
    if (result instanceof Promise) result.then((it) => receiver(it));
    else receiver(result);
  };

  const evaluator = (el, expression) => {
    const stack = [magics(el), ...Alpine.closestDataStack(el)];
    const failed = (error) => {
      console.warn(`Alpine: ${error.message} in "${expression}"`, el);
      setTimeout(() => { throw error; }, 0);
    };
    let run;
    try {
      const binding = typeof expression === "string" && SELECT2.exec(expression);
      if (binding) run = selectBinding(el, binding);
      else if (typeof expression === "function") run = null;
      else run = compile(expression);
    } catch (error) {
      failed(error);
      return () => {};
    }
    return (receiver = () => {}, { scope = {}, params = [] } = {}) => {
      const merged = Alpine.mergeProxies([scope, ...stack]);
      try {
        const value = run ? run({ scope: merged, locals: {} }) : expression.apply(merged, params);
        deliver(receiver, value, merged, params);
      } catch (error) {
        failed(error);
      }
    };
  };

  document.addEventListener("alpine:init", () => Alpine.setEvaluator(evaluator));
})();
