// Who answers this page: the server that sent it, or, where it is a folder of files, a worker in this browser.
// Owns that choice; leaves requests to http.js, and the worker to the module that the document names (site/client.js).

import * as server from "./http.js";

/** Address of a module with the functions of http.js, relative to this one; none where there is a server. */
const { site } = document.documentElement.dataset;

export const { info, lacking, read, sample, solve, useKey } = site ? await import(site) : server;
