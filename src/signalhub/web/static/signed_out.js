// Nobody is signed in here any more: the tabs that still show an account should stop.

import { announce } from "./tabs.js";

announce("");
