// All tabs share the cookies: after a sign-in as another account in one tab, the next reconnect of another tab would
// bring that account's events into its table. So each tab broadcasts the account that is signed in.

const channel = new BroadcastChannel("signalhub");

export function broadcastAccount(account) {
  channel.postMessage(account);
}

export function stopOnOtherAccount(account, stop) {
  channel.onmessage = (message) => {
    if (message.data !== account) stop();
  };
  broadcastAccount(account);
}
