// Portkey has no setting for the address it binds; unauthenticated, it must not leave this machine.
const { Server } = require("node:net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  const done = rest.find((argument) => typeof argument === "function");
  return listen.call(this, port, "127.0.0.1", done);
};
