// What every script is told: the service, the key and the types of its events. `hand` is what a user of the client does.

export const url = process.env.SIGNALHUB_URL;
export const key = process.env.SIGNALHUB_API_KEY;
export const types = process.env.EVENT_TYPES.split(",");

// Print the data of a message on a line of its own: a message without data is an empty line. No message of the service
// has a line feed in its data.
export function hand(message) {
  process.stdout.write(`${String(message.data ?? "").replaceAll("\n", "\\n")}\n`);
}
