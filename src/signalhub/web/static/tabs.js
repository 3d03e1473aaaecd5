// Cookies are shared by all tabs: after signing in elsewhere as another account, a tab's own reconnect
// would bring that account's events into this account's table. So tabs tell each other who is signed in.

const channel = new BroadcastChannel("signalhub");

export function announce(account) {
  channel.postMessage(account);
}

export function onOtherAccount(account, stop) {
  channel.onmessage = (message) => {
    if (message.data !== account) stop();
  };
  announce(account);
}
