// Two of Node's ws clients: one waits, one sends every half second. Prints one
// JSON line per event: {"client", "event", "data", "at"} with at in ms.
import WebSocket from 'ws';

function client(name, talk) {
  const say = (event, data) => console.log(JSON.stringify({ client: name, event, data, at: Date.now() }));
  const asked = Date.now();
  const ws = new WebSocket(process.argv[2]);
  ws.on('open', () => { say('open', asked); if (talk) setInterval(() => ws.send('here'), 500); });
  ws.on('message', (data, binary) => say('message', { text: data.toString(), binary }));
  ws.on('close', (code, reason) => say('close', { code, reason: reason.toString() }));
  ws.on('error', (err) => say('error', err.message));
}

client('idle', false);
client('talker', true);
