// Signed out: stop the tabs that still show an account.

import { broadcastAccount } from "./tabs.js";

broadcastAccount("");
