// Files that people attach.

/// A red picture of 16 by 16 pixels.
export const RED = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAF0lEQVR4nGP4z8BAEiJN9aiGUQ1DSgMAkPn/Afnh+ngAAAAASUVORK5CYII=', 'base64');

export const picture = { name: 'red.png', mimeType: 'image/png', buffer: RED };
/// The same with more bytes than a body may have.
export const largePicture = { ...picture, buffer: Buffer.concat([RED, Buffer.alloc(1 << 20)]) };
export const minutes = { name: 'minutes.txt', mimeType: 'text/plain', buffer: Buffer.from('The ledger was opened on Monday.') };
