mod files;
mod reference;
